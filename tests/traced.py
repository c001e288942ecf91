"""Measure the memory that a block of code allocates, with `tracemalloc`."""

import tracemalloc
from contextlib import contextmanager
from types import SimpleNamespace


@contextmanager
def traced():
    """Count the bytes allocated by the block: `kept` at its end, `peak` at most."""
    taken = SimpleNamespace()
    tracemalloc.start()
    try:
        yield taken
        taken.kept, taken.peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
