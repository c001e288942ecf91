"""How the process of a command begins and ends; signals are a matter of test_killed.py."""

import subprocess
import sys

GARBAGE = """
import gc, weakref
from gpustack.cli_process import GARBAGE, begin

class Cycle:
    def __init__(self):
        self.itself = self

begin()
alive = weakref.WeakSet()
for _ in range(2 * GARBAGE):
    alive.add(Cycle())
assert len(alive) < 2 * GARBAGE, "garbage is found, if late"
assert not gc.get_freeze_count()
gc.collect()
assert not alive
"""


def test_garbage_is_found():
    done = subprocess.run([sys.executable, "-c", GARBAGE], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
