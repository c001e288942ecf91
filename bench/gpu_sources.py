"""Images on the host as sources of gpustack, in memory or in raw files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.gpu_timing import noise
from gpustack.backends.base import Samples

FLOAT32 = np.dtype(np.float32)
KINDS = ("arrays", "files")


class Arrays:
    """A source of images on the host, shape (rows, width); see `gpustack.backends.base.Source`.

    It stands in for gpustack's frames, which need astropy; not every machine with a GPU has it.
    """

    dtype = FLOAT32
    stored_dtype = FLOAT32
    weighted = variance = False
    temporary_bytes = held_bytes = read_bytes = 0

    def __init__(self, images: Sequence[NDArray[np.float32]]) -> None:
        self.images, self.n = images, len(images)
        self.rows, self.width = images[0].shape
        self.stored, self.masked = [self.stored_dtype] * self.n, [False] * self.n
        self.row_bytes = [self.read_bytes * self.width] * self.n

    def read(self, f: int, start: int, stop: int, into: Any = None) -> Samples:
        """Views of rows ``[start, stop)`` of image `f`."""
        return Samples(self.images[f][start:stop])


class Files(Arrays):
    """A source of raw files, big-endian as in FITS; just written, so they are read from memory."""

    stored_dtype = np.dtype(">f4")
    read_bytes = 4

    def __init__(self, images: Sequence[NDArray[np.float32]], folder: Path) -> None:
        super().__init__(images)
        self.folder = folder
        for f, image in enumerate(images):
            image.astype(">f4").tofile(folder / f"{f}.raw")

    def read(self, f: int, start: int, stop: int, into: Any = None) -> Samples:
        """Rows ``[start, stop)`` of file `f`, read into `into`."""
        size = (stop - start) * 4 * self.width
        with (self.folder / f"{f}.raw").open("rb", buffering=0) as file:
            file.seek(start * 4 * self.width)
            file.readinto(memoryview(into)[:size])
        return Samples(np.frombuffer(into, ">f4", size // 4).reshape(stop - start, self.width))


def source(kind: str, n: int, size: int, folder: Path) -> Arrays:
    """`n` square images on the host, as arrays or as files in a folder."""
    row = noise(size * size + n)
    images = [row[f : f + size * size].reshape(size, size).copy() for f in range(n)]
    return Files(images, folder) if kind == "files" else Arrays(images)
