"""See the package map in docs/decisions.md."""
