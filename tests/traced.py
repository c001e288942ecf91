"""What work takes of memory, as Python counts it."""

import tracemalloc
from contextlib import contextmanager
from types import SimpleNamespace


@contextmanager
def traced():
    """Bytes that the block takes, beside what there was before: at its end, and at most."""
    taken = SimpleNamespace()
    tracemalloc.start()
    try:
        yield taken
        taken.kept, taken.peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
