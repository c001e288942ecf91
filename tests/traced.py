"""What work takes of memory, as Python counts it."""

import tracemalloc


def peak(work):
    """The most bytes that `work` takes at a time, beside what there was before."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
