"""How the process of a command begins and ends; signals are tested in test_killed.py."""

import subprocess
import sys

GARBAGE = """
import gc, weakref
from gpustack.cli.process import GC_THRESHOLD, begin

class Cycle:
    def __init__(self):
        self.itself = self

begin()
alive = weakref.WeakSet()
for _ in range(2 * GC_THRESHOLD):
    alive.add(Cycle())
assert len(alive) < 2 * GC_THRESHOLD, "garbage is found, if late"
assert not gc.get_freeze_count()
gc.collect()
assert not alive
"""


def test_garbage_is_still_collected():
    done = subprocess.run([sys.executable, "-c", GARBAGE], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


NUMCODECS = """
import sys
from gpustack.cli.process import load_fits

load_fits()
from astropy.io.fits.hdu.compressed import _codecs
assert "numcodecs" not in sys.modules
assert _codecs.Rice1.__mro__[1].__module__ == _codecs.__name__
import numcodecs
load_fits()
assert sys.modules["numcodecs"] is numcodecs
"""


def test_fits_is_loaded_without_numcodecs_which_can_be_loaded_later():
    done = subprocess.run([sys.executable, "-c", NUMCODECS], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
