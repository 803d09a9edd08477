"""A short clip with photographed faces; `SOURCES.md` names where the pictures come from."""
