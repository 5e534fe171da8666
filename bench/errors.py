"""The error of the bench."""

from continuum.errors import ContinuumError


class BenchError(ContinuumError):
    """A measurement that could not be made, or whose runs did not do what they should."""
