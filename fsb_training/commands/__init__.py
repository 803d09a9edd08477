"""The commands of ``fsb-train``, a file for those that belong together; heavy imports inside."""
