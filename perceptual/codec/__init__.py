"""The learned codec (docs/learned-codec.md)."""
