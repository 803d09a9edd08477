"""Recorded robots, judged without a running ROS: bags in, answers and how good they are out.

bags      images of a rosbag2, as far as it can be read
offline   every image through the pipeline, by recorded stamps, as fast as it goes
rows      the answers as JSON, the same bytes at every run
"""
