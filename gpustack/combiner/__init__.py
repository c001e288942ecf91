"""The ccdproc door: code written for `ccdproc.Combiner` and `ccdproc.combine` runs here.

::

    files      combine(): from a list of files to one image
    images     what it takes for a list
    core       Combiner: clips and combining
    holdings   its attributes: samples, weights, scaling
    recorder   what it has been told so far, and the cube once asked for
    arguments  errors in the words of its arguments
    combination, callables
               one way to combine, in ccdproc's terms; functions that users pass
    rows       a frame seen through another dtype, or some of its rows
"""

from gpustack.combiner.core import Combiner
from gpustack.combiner.files import combine

__all__ = ["Combiner", "combine"]
