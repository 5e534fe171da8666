"""``python -m continuum_cli`` is the command `continuum`."""

from continuum_cli.main import main

main()
