"""Frames on disk, as every program gets them, and the samples by which answers are compared."""

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

#: Rows of the image that are compared, from the first to the last: all bands of a program.
ROWS = 32
#: Exposures differ by a hundredth, so that there is something to correct for by them.
EXPOSURE, LONGER = 60.0, 0.01
NAME = "f_{:05d}.fit"  # as Siril wants them


@dataclass(frozen=True, slots=True)
class Group:
    """Frames that are combined by several methods.

    Parameters
    ----------
    dtype : {"float32", "uint16"}
    frames, size : int
        How many, and pixels on a side.
    limit : int or None
        Bytes that programs may take, where they can be told.
    """

    dtype: str
    frames: int
    size: int
    limit: int | None = None

    @property
    def samples(self) -> int:
        """In all."""
        return self.frames * self.size * self.size

    @property
    def disk(self) -> int:
        """Bytes of the files: Siril has floats of its own; and of what comes out."""
        each = 2 * 4 if self.dtype == "float32" else 2
        return self.samples * each + 10 * 4 * self.size * self.size


@dataclass(frozen=True, slots=True, eq=False)
class Given:
    """Frames on disk.

    Parameters
    ----------
    group : Group
    folder : path
        They are there, named in ``list`` too, and `siril` are those that Siril gets.
    rows : ndarray of int
        Numbers of the rows that are compared.
    samples : ndarray, shape (n, rows, x)
        What is in them, in the files.
    """

    group: Group
    folder: Path
    rows: NDArray[np.intp]
    samples: NDArray[Any] = field(repr=False)

    @property
    def siril(self) -> Path:
        """Where Siril's frames are."""
        return self.folder / "siril"

    @property
    def paths(self) -> list[str]:
        """The files of all but Siril."""
        return [str(self.folder / NAME.format(i + 1)) for i in range(self.group.frames)]

    def read_all(self) -> None:
        """Read every file once, so that all programs read memory."""
        for path in sorted([*self.folder.glob("f_*"), *self.siril.glob("f_*.fit")]):
            with path.open("rb") as file:
                while file.read(1 << 24):
                    pass

    def clear(self) -> None:
        """Remove what programs have written, except what Siril knows of its sequence."""
        for folder in (self.folder, self.siril):
            for path in folder.glob("out.*"):
                path.unlink()


@contextmanager
def made(group: Group, scratch: Path | None) -> Iterator[Given]:
    """Frames of a group, which are gone afterwards.

    Raises
    ------
    OSError
        Where they find no room.
    """
    with TemporaryDirectory(prefix="gpustack-bench-", dir=scratch) as name:
        free = shutil.disk_usage(name).free
        if free < group.disk:
            expected, got = (f"{n / 1e9:.1f} GB" for n in (group.disk, free))
            raise OSError(f"expected {expected} of free space in {scratch or name}, got {got}")
        yield write(group, Path(name))


def write(group: Group, folder: Path) -> Given:
    """Write the frames."""
    kind, rows = Kind(group.dtype), np.unique(np.linspace(0, group.size - 1, ROWS).astype(int))
    given = Given(group, folder, rows, np.empty((group.frames, len(rows), group.size), kind.dtype))
    given.siril.mkdir()
    for i, path in enumerate(given.paths):
        frame = simulated(kind, i, group.size, group.size)
        header = fits.Header({"BUNIT": "adu", "EXPTIME": EXPOSURE * (1 + LONGER * (i % 2))})
        fits.writeto(path, frame, header)
        given.samples[i] = frame[rows]
        theirs = given.siril / NAME.format(i + 1)
        if group.dtype == "float32":  # a power of two changes no bit of a sample
            fits.writeto(theirs, frame * np.float32(1 / siril.UNIT), header)
        else:
            theirs.symlink_to(path)
    (folder / "list").write_text("".join(f"{Path(path).name}\n" for path in given.paths))
    return given
