"""A short clip with photographed faces that ships with the package; `SOURCES.md` names the pictures."""
