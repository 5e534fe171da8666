"""``python -m continuum_cli`` is the command `continuum`."""

from continuum_cli.entry import main

main()
