"""``continuum run``: what a client does, from the command line."""
