"""Frames on disk for the programs of `bench.peers`, and the rows in which answers are compared."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from bench.data import Kind, simulated
from bench.parity import siril

#: Rows of the image that are compared, spread from the first to the last, so as to fall into all
#: bands that a program works in.
ROWS = 32
#: Exposure time, and by how much more every other frame has: so there is something to scale by.
EXPOSURE, LONGER = 60.0, 0.01
NAME = "f_{:05d}.fit"  # the names that Siril expects in a sequence


@dataclass(frozen=True, slots=True)
class Group:
    """The frames of one benchmark: their kind, number and size, and a limit on memory.

    Parameters
    ----------
    dtype : {"float32", "uint16"}
    frames, size : int
        The number of frames, and pixels on a side.
    limit : int or None
        Bytes of memory that programs may use, where they have an option for it.
    """

    dtype: str
    frames: int
    size: int
    limit: int | None = None

    @property
    def samples(self) -> int:
        """The number of samples in all frames."""
        return self.frames * self.size * self.size

    @property
    def disk(self) -> int:
        """Bytes of the files, where Siril has its own copy of floats, and of the outputs."""
        each = 2 * 4 if self.dtype == "float32" else 2
        return self.samples * each + 10 * 4 * self.size * self.size


@dataclass(frozen=True, slots=True, eq=False)
class FramesOnDisk:
    """Frames on disk.

    Parameters
    ----------
    group : Group
    folder : path
        Contains the files, and a file ``list`` with their names.
    rows : ndarray of int
        Indices of the rows that are compared.
    samples : ndarray, shape (n, rows, x)
        The samples of these rows, as in the files.
    """

    group: Group
    folder: Path
    rows: NDArray[np.intp]
    samples: NDArray[Any] = field(repr=False)

    @property
    def siril(self) -> Path:
        """The folder of Siril's frames."""
        return self.folder / "siril"

    @property
    def paths(self) -> list[str]:
        """The files for all programs but Siril."""
        return [str(self.folder / NAME.format(i + 1)) for i in range(self.group.frames)]

    def read_all(self) -> None:
        """Read every file once, so that all programs read from the system's cache."""
        for path in sorted([*self.folder.glob("f_*"), *self.siril.glob("f_*.fit")]):
            with path.open("rb") as file:
                while file.read(1 << 24):
                    pass

    def clear(self) -> None:
        """Remove the outputs of programs, but not Siril's file about its sequence."""
        for folder in (self.folder, self.siril):
            for path in folder.glob("out.*"):
                path.unlink()


@contextmanager
def made(group: Group, scratch: Path | None) -> Iterator[FramesOnDisk]:
    """Write the frames of a group to a temporary folder, which is removed afterwards.

    Raises
    ------
    OSError
        Where there is not enough free space.
    """
    with TemporaryDirectory(prefix="gpustack-bench-", dir=scratch) as name:
        free = shutil.disk_usage(name).free
        if free < group.disk:
            expected, got = (f"{n / 1e9:.1f} GB" for n in (group.disk, free))
            raise OSError(f"expected {expected} of free space in {scratch or name}, got {got}")
        yield write(group, Path(name))


def write(group: Group, folder: Path) -> FramesOnDisk:
    """Write the frames of a group to a folder, for Siril and for all other programs."""
    kind, rows = Kind(group.dtype), np.unique(np.linspace(0, group.size - 1, ROWS).astype(int))
    given = FramesOnDisk(
        group, folder, rows, np.empty((group.frames, len(rows), group.size), kind.dtype)
    )
    given.siril.mkdir()
    for i, path in enumerate(given.paths):
        frame = simulated(kind, i, group.size, group.size)
        header = fits.Header({"BUNIT": "adu", "EXPTIME": EXPOSURE * (1 + LONGER * (i % 2))})
        fits.writeto(path, frame, header)
        given.samples[i] = frame[rows]
        theirs = given.siril / NAME.format(i + 1)
        if group.dtype == "float32":  # dividing by a power of two loses no bit
            fits.writeto(theirs, frame * np.float32(1 / siril.UNIT), header)
        else:
            theirs.symlink_to(path)
    (folder / "list").write_text("".join(f"{Path(path).name}\n" for path in given.paths))
    return given
