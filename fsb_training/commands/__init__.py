"""The commands of ``fsb-train``: one file for each or a few. Heavy imports stay inside them."""
