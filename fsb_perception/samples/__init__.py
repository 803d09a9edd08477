"""A short clip with photographed faces; `SOURCES.md` names the origin of the photographs."""
