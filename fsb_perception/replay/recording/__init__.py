"""Topics of a running robot, written to a bag; the subscriber itself is `fsb_perception.ros`'s.

session          records until a limit is reached or a signal asks to stop
topics           chooses the topics, and waits for them
backlog          messages between the thread that receives them and the one that writes them
bag              the bag that is being written
installed_types  definitions of messages, as this machine has them
"""
