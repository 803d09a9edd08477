"""The thin shell around the core: ROS 2 nodes, messages, launch. Only here is ROS imported."""
