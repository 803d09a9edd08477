"""Training of the weights that `fsb_perception` runs: data sets, learning, evaluation, export."""
