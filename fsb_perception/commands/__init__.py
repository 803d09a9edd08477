"""What ``fsb`` can do: one module a command, light to import, heavy only once it runs."""
