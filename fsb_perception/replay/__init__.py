"""Recordings of robots, judged without a running ROS: bags in; answers and their quality out.

bags       images of a rosbag2, as far as it can be read
recording  topics of a running robot, written to a bag
sample     recordings with known truth
truth      statements about the people in a recording
running    bags through the pipeline or the node, one or many at a time
scoring    answers beside the truth: metrics, criteria, comparison of two runs
report     one page about one replay
rows       answers as JSON, the same bytes at every run
modes      in this process, or through the running node
summary    the summary of a replay, typed
metrics    the metrics in the summary, typed
"""
