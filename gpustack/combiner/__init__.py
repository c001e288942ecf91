"""The interface of ccdproc: code written for `ccdproc.Combiner` and `ccdproc.combine` runs here.

::

    files        combine(): from a list of files to one image
    images       the list of images that combine() accepts
    core         Combiner: clips and combining
    attributes   the attributes of a Combiner: samples, weights, scaling
    recorder     the state of a Combiner: recorded clips, and the cube once it is needed
    arguments    errors that name the arguments of a Combiner
    combination  one way to combine, in ccdproc's terms
    callables    functions that users pass
    rows         a frame seen through another dtype, or some of its rows
"""

from gpustack.combiner.core import Combiner
from gpustack.combiner.files import combine

__all__ = ["Combiner", "combine"]
