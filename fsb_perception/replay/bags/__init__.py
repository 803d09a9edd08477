"""Recordings: rosbag2, in any of its storages, whole or damaged.

reader         opens a bag, chooses topics of images, and yields the images
topics         topics of images, and the cameras they belong to
records        the messages of a bag, by rosbags or, where it fails, by salvage
salvage        reads damaged files from the front
storages       the table of rosbag2's storages, and how to write a new bag
checked_writer rosbags' writer, with a checksum for each chunk of MCAP
packed         messages that were compressed one by one
message_types  definitions of the messages that a replay reads and writes
errors         the error of recordings that cannot be used
"""
