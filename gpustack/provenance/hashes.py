"""Hashes: SHA-256 of the data units of inputs and outputs."""

import gzip
import hashlib
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.cpu import available_cores
from gpustack.errors import FrameError
from gpustack.frames import ArrayFrame, FitsFrame, Frame
from gpustack.frames.hdus import Hdu, quiet, scan
from gpustack.frames.onfile import GZIP_MAGIC, reading
from gpustack.frames.resident import ResidentFrame, on_host
from gpustack.frames.views import take_rows
from gpustack.provenance.paths import stored

#: Bytes that are hashed at once.
CHUNK = 1 << 20

#: The most threads that hash. They hold the GIL only briefly; disks gain nothing from more threads.
THREADS = 4


def hash_file(name: str) -> str:
    """Return the SHA-256 of a file; of a gzip file, of its content, as gzip stores the time too.

    Raises
    ------
    FrameError
        Where the file cannot be read.
    """
    return hash_pieces(name, 0, None)[0]


def hash_pieces(name: str, begin: int, *stops: int | None) -> list[str]:
    """Return the SHA-256 of consecutive pieces of a file, from byte `begin` to each of `stops`.

    A stop of None is the end of the file. A gzip file is decompressed first.

    Raises
    ------
    FrameError
        Where the file cannot be read, or ends before a stop.
    """
    view, hashes = memoryview(bytearray(CHUNK)), []
    with reading(name), _inflated(name) as stream:
        stream.seek(begin)
        for stop in stops:
            digest, left = hashlib.sha256(), math.inf if stop is None else stop - begin
            while left > 0 and (got := stream.readinto(view[: int(min(left, CHUNK))])):
                digest.update(view[:got])
                left -= got
            if stop is not None and left:
                raise FrameError(name, f"cut off: expected {left:,.0f} more bytes up to {stop:,}")
            hashes.append(digest.hexdigest())
            begin = begin if stop is None else stop
    return hashes


@contextmanager
def _inflated(name: str) -> Iterator[Any]:
    """Open a file for reading, decompressed where it is a gzip file."""
    with Path(name).open("rb", buffering=0) as file:
        gzipped = file.read(2) == GZIP_MAGIC
        file.seek(0)
        if not gzipped:
            yield file
            return
        with gzip.GzipFile(fileobj=file, mode="rb") as stream:
            yield stream


def hash_array(array: Any) -> str:
    """Return the SHA-256 of an array as FITS would store it: big-endian, the last axis fastest.

    FITS has no long doubles, which differ between machines; they count as float64.
    """
    digest = hashlib.sha256()
    array = np.broadcast_to(array, (1,)) if np.ndim(array) == 0 else array
    rows, width = int(np.prod(array.shape[:-1])), array.shape[-1]
    step = max(1, CHUNK // (width * array.dtype.itemsize))
    dtype = np.dtype(np.float64 if array.dtype.char == "g" else array.dtype).newbyteorder(">")
    for start in range(0, rows, step):
        piece = on_host(take_rows(array, start, min(start + step, rows)))
        digest.update(np.ascontiguousarray(piece, dtype).data)
    return digest.hexdigest()


@dataclass(frozen=True, slots=True, eq=False)
class FilePart:
    """An HDU that a frame's samples, mask, weights or variances are read from.

    Parameters
    ----------
    given : str
        The path by which its file is opened.
    hdu : Hdu
    apart : bool
        Whether an `Image` names it; if not, it was found beside the image in the frame's file.
    inherited : str
        The frame's header, where the image inherits cards of the primary HDU; else empty.
    """

    given: str
    hdu: Hdu
    apart: bool
    inherited: str = ""

    def record(self) -> dict[str, Any]:
        """Return where it is, and hashes of its header and of its data without padding."""
        hdu = self.hdu
        header, data = hash_pieces(self.given, hdu.begin, hdu.start, hdu.stop)
        if self.inherited:
            header = hashlib.sha256((header + self.inherited).encode()).hexdigest()
        return {
            "given": self.given,
            "path": stored(self.given),
            "hdu": hdu.index,
            "apart": self.apart,
            "sha256": data,
            "header_sha256": header,
        }


@dataclass(frozen=True, slots=True, eq=False)
class ArrayPart:
    """An array that is a frame's samples, mask, flags or variances."""

    array: NDArray[Any]

    def record(self) -> dict[str, Any]:
        """Return the hash alone: an array in memory has no path."""
        return {"sha256": hash_array(self.array)}


def hashed(frames: Sequence[Frame], with_variance: bool) -> list[dict[str, Any]]:
    """Hash all that is read of each frame, which reads it once as a whole.

    Parameters
    ----------
    frames : sequence of Frame
        The frames as they were opened, not aligned.
    with_variance : bool
        Whether variances are read.

    Returns
    -------
    list of dict
        ``"data"``, and where there are any, ``"mask"``, ``"flags"``, ``"weight"``,
        ``"variance"``: for each a record of where it is, and its ``"sha256"``.
    """
    found = [_parts(frame, with_variance) for frame in frames]
    every = [part for parts in found for part in parts.values()]
    with ThreadPoolExecutor(min(available_cores(), THREADS)) as pool:
        records = iter(list(pool.map(lambda part: part.record(), every)))
    return [{what: next(records) for what in parts} for parts in found]


def hash_hdus(name: str) -> list[dict[str, str]]:
    """Return the names of the HDUs of a file, and the hashes of their data units."""
    hdus, _ = scan(name)
    return [{"name": hdu.name, "sha256": hash_pieces(name, hdu.start, hdu.stop)[0]} for hdu in hdus]


def _parts(frame: Frame, with_variance: bool) -> dict[str, FilePart | ArrayPart]:
    if isinstance(frame, FitsFrame):
        return dict(_of_file(frame, with_variance))
    if isinstance(frame, ResidentFrame):
        return {"data": ArrayPart(frame.data)}
    assert isinstance(frame, ArrayFrame)
    bits = None if frame.bits is frame.mask else frame.bits
    arrays = {"data": frame.data, "mask": frame.mask, "flags": bits}
    if with_variance and frame.variance is not None:
        arrays["variance"] = np.asarray(frame.variance.given)
    return {what: ArrayPart(array) for what, array in arrays.items() if array is not None}


def _of_file(frame: FitsFrame, with_variance: bool) -> Iterator[tuple[str, FilePart]]:
    apart = {part.what for part in frame.separate_planes}
    image = frame.image.hdu
    with quiet():  # an extension inherits cards of the primary header
        inherited = frame.header.tostring() if image.index else ""
    yield "data", FilePart(frame.image.file, image, False, inherited)
    for what, plane in (("mask", frame.mask), ("weight", frame.weight)):
        if plane is not None:
            yield what, FilePart(plane.file, plane.hdu, what in apart)
    # Where the frame has weights, its variances come from them, which are hashed already.
    if with_variance and frame.variance is not None and frame.weight is None:
        variance = frame.variance
        yield "variance", FilePart(variance.file, variance.hdu, "variance" in apart)
