"""Weight bundles: save, load and verify them; pull them from and push them to the model hub."""

BUNDLE_HELP = "weight bundle: a name, a folder, or OWNER/NAME of a pulled one"
"""The help of each option, parameter and argument that takes a bundle."""
