"""Makes the weights that `fsb_perception` runs: data sets, training, evaluation, bundles."""
