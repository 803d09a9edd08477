"""The commands of ``fsb``: one module each, light to import and heavy only when it runs."""
