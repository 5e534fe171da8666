"""The oracle: the ports in memory, to be read as their executable specification.

``MemoryStore`` has the same four ports as the PostgreSQL store and must give the same answers: one
conformance suite runs against both, and a differential test compares them operation by operation. Nothing
here is durable. Tests, ``continuum.testing`` and the simulation stand on it.
"""

from continuum.memory.store import MemoryStore

__all__ = ["MemoryStore"]
