"""Pages about replays and bundles: one HTML file each, with its style and its plots inside."""
