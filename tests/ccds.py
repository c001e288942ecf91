"""Images and checks for the tests of the Combiner."""

import numpy as np
from astropy.nddata import CCDData

from gpustack.combiner.recorder import Recorder


def column(*samples, masked=()):
    """Images of one pixel each, together one column; `masked` are the indices of masked ones."""
    return [
        CCDData(np.array([[float(sample)]]), unit="adu", mask=np.array([[i in masked]]))
        for i, sample in enumerate(samples)
    ]


def sky(n=12, shape=(5, 6), seed=0):
    """Noisy images; a tenth of the samples are masked and a tenth are outliers."""
    rng = np.random.default_rng(seed)
    data = rng.normal(100, 8, (n, *shape))
    data[rng.random(data.shape) < 0.1] += 60
    mask = rng.random(data.shape) < 0.1
    return [CCDData(d, unit="adu", mask=m) for d, m in zip(data, mask, strict=True)]


def rejected(combiner):
    """The indices of the masked samples of the first column."""
    return np.flatnonzero(combiner.data_arr.mask[:, 0, 0]).tolist()


def forbid_cubes(monkeypatch):
    """Make any later attempt to create the cube of all samples fail."""

    def refuse(recorder):
        raise AssertionError("a cube was made")

    monkeypatch.setattr(Recorder, "cube", refuse)
