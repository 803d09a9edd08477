"""Experiments: a small vision-language model is pretrained, and every system is adapted on it.

A (70 %)  pictures with captions --> pretrain --> image tower + text tower
B         pictures with labels   --> every system of `fsb_training.systems`, by `sweep`
C         pictures with labels   --> one JSON record a run --> docs/results.md
"""
