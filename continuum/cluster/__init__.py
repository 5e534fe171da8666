"""See the package map in docs/design.md."""
