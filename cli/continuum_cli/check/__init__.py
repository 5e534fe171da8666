"""``continuum check``: the live runs against new code."""
