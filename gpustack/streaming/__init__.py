"""Writes a result to its FITS file row by row while it is made, holding no image in memory.

The file is laid out before the first row is written: the place of each image follows from the
headers. Only the table of frames is not known in advance; it comes after the images.
`filesink` has one image of the file.
"""

import errno
import math
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from gpustack.checks import boolean, check, set_fields
from gpustack.errors import FrameError
from gpustack.files.paths import PathLike, at_home
from gpustack.frames import FitsFrame, Frame
from gpustack.frames.onfile import Stamp, as_hdus, reading
from gpustack.maps.extensions import check_maps, extensions
from gpustack.recipe import MAPS
from gpustack.result import StackResult
from gpustack.streaming.filesink import FileSink
from gpustack.writing import (
    ENDINGS,
    VERIFY,
    check_ending,
    check_target,
    errors_of,
    is_packed,
    packing,
    seal,
)
from gpustack.writing.temporary import remove_abandoned, temporary_file

#: FITS standard 4.0, section 3.1; a card has 80 characters.
_BLOCK, _CARD = 2880, 80

#: Images that every file has (uncertainty where it is made), and those that it may have besides
#: `MAPS`.
_ALWAYS, _COUNTS = ("data", "mask", "uncertainty"), ("count", "low", "high")

#: Bytes that are compressed at a time.
_CHUNK = 1 << 20

#: Errors of file systems that cannot reserve space.
_CANNOT_RESERVE = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)


@dataclass(frozen=True, slots=True)
class ToFile:
    """The file that a result is written to while it is made; passed to `stack` as `outputs`.

    Parameters
    ----------
    path : path-like
        Ends in .fits, .fit or .fts, optionally followed by .gz.
    maps : sequence of str
        Which maps to make and write; see `StackResult.to_hdulist`.
    overwrite : bool
        Replace the file if there is one.
    uncertainty : bool
        Whether the file has an UNCERT extension. It is as large as the image, and computing a
        standard deviation takes longer than computing a mean.

    Raises
    ------
    RecipeError
        Where a value is invalid.
    OutputError
        Where the path has another ending.
    """

    path: PathLike
    maps: Sequence[str] = ()
    overwrite: bool = False
    uncertainty: bool = True

    def __post_init__(self) -> None:
        is_path = isinstance(self.path, str | os.PathLike) and isinstance(os.fspath(self.path), str)
        check(is_path, f"ToFile path: expected the name of a file, got {self.path!r}")
        check_ending(self.path)
        # ~ is expanded here, for everything that uses the path.
        path = at_home(self.path)
        set_fields(
            self,
            path=path if isinstance(self.path, str) else Path(path),
            maps=check_maps(self.maps),
            overwrite=boolean("ToFile overwrite", self.overwrite),
            uncertainty=boolean("ToFile uncertainty", self.uncertainty),
        )

    @property
    def images(self) -> tuple[str, ...]:
        """The maps that are images; ``"frames"`` is a table."""
        return tuple(name for name in self.maps if name != "frames")

    def outputs(self, report: bool) -> tuple[str, ...]:
        """The outputs that a recipe has to make for the file, and for a report or a page.

        Rejections per frame are counted only where they are needed: that takes a second look at
        all samples.
        """
        uncertainty = ("uncertainty",) if self.uncertainty else ()
        rejected = ("rejected",) if report or "frames" in self.maps else ()
        return (*uncertainty, *rejected, *self.images)


def split_outputs(outputs: Any, recipe_outputs: Any, report: bool) -> tuple[ToFile | None, Any]:
    """Return the file that `outputs` of `stack` names, or None, and the outputs of the recipe.

    Parameters
    ----------
    outputs : ToFile, or outputs of a recipe
    recipe_outputs : sequence of str or None
        The outputs of the recipe where there is a file; None: what the file and a report or page
        need.
    report : bool
        Whether there will be a report or a page.

    Raises
    ------
    RecipeError
        Where `outputs` names a file in another way than by one ToFile.
    OutputError, WriteError
        As `gpustack.writing.check_target`.
    """
    if isinstance(outputs, ToFile):
        check_target(outputs.path, outputs.overwrite)
        check(
            recipe_outputs is None or outputs.uncertainty,
            "ToFile uncertainty: expected True where clips is a Recipe, whose outputs decide, got "
            "False; use dataclasses.replace(recipe, outputs=...)",
        )
        return outputs, outputs.outputs(report) if recipe_outputs is None else recipe_outputs
    given = [outputs] if isinstance(outputs, str | os.PathLike) else outputs
    for one in given if isinstance(given, list | tuple) else ():
        is_file = isinstance(one, ToFile | os.PathLike) or str(one).lower().endswith(ENDINGS)
        expected = "names of outputs, or ToFile(path) alone for a file"
        check(not is_file, f"outputs: expected {expected}, got {outputs!r}")
    return None, outputs


def room_of(to: ToFile | None) -> float | None:
    """The total bytes of the disk that `to` is on, infinite if unknown; None without a file."""
    if to is None:
        return None
    with errors_of(to.path):
        return shutil.disk_usage(Path(to.path).resolve().parent).total or math.inf


def files_read(frames: Iterable[Frame]) -> Iterator[tuple[str, str]]:
    """Yield the files that frames are read from, each with a description for error messages."""
    for frame in frames:
        for file in frame.files if isinstance(frame, FitsFrame) else ():
            yield file, "one of the frames"


@contextmanager
def result_file(to: ToFile | None) -> Iterator["ResultFile | None"]:
    """Open a temporary file next to the one that `to` names; `ResultFile.finish` renames it.

    Yields None where `to` is None.

    Raises
    ------
    OutputError
        As `gpustack.writing.check_target`.
    WriteError
        Where no file can be created.
    """
    if to is None:
        yield None
        return
    target = check_target(to.path, to.overwrite)
    with ExitStack() as held:
        with errors_of(to.path):
            remove_abandoned(target.parent)
            file, temporary = held.enter_context(temporary_file(target.parent))
        yield ResultFile(to, target, file, temporary)


class ResultFile:
    """A file that takes the rows of a result.

    Parameters
    ----------
    to : ToFile
    target : Path
        The final name of the file.
    file : binary file
        Open and empty.
    temporary : Path
        The name of the file until it is finished.
    """

    def __init__(self, to: ToFile, target: Path, file: BinaryIO, temporary: Path) -> None:
        self._to, self._target = to, target
        self._file, self._temporary = file, temporary
        self._lock = Lock()
        self._end, self._tables = 0, b""
        self._stamp: Stamp

    def sink(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> "FileSink":
        """Return a sink for the rows of an image; rows of an image not in the file are dropped."""
        return FileSink(shape, np.dtype(dtype), self)

    def lay_out(self, result: StackResult) -> StackResult:
        """Write the headers, and reserve space for the images.

        Parameters
        ----------
        result : StackResult
            With sinks in place of arrays.

        Returns
        -------
        StackResult
            With None for the images that the file does not have.

        Raises
        ------
        InputError
            Where a map is not made.
        WriteError
            Where the file does not fit on the disk.
        """
        sinks = {name: getattr(result, name) for name in (*_ALWAYS, *_COUNTS, *MAPS)}
        templates = {
            name: sink.header_template() for name, sink in sinks.items() if sink is not None
        }
        hdus = replace(result, **templates).to_hdulist(self._to.images)
        names = [name for name in (*_ALWAYS, *self._to.images) if sinks[name] is not None]
        images: list[FileSink] = [sinks[name] for name in names]
        content, begins = self._to_bytes(hdus)
        headers = []
        for index, sink in enumerate(images):
            begin, data, _ = begins[index]
            header = _resized(content[begin:data], sink.shape)
            headers.append((self._end, header))
            sink.place(self._end + len(header), index)
            self._end += len(header) + -(-sink.nbytes // _BLOCK) * _BLOCK
        self._tables = content[begins[len(images) - 1][2] :]
        with errors_of(self._to.path):
            _reserve(self._file, self._end)
        for start, header in headers:
            self.write(start, header)
        lacking = [name for name, sink in sinks.items() if sink is not None and not sink.is_placed]
        nothing: dict[str, Any] = dict.fromkeys(lacking)
        return replace(result, **nothing)

    def write(self, start: int, content: Any) -> None:
        """Write bytes from offset `start` on; may be called from several threads.

        Raises
        ------
        WriteError
            Where writing fails, for example because the disk is full.
        ValueError
            Where the file is closed already.
        """
        if self._file.closed:
            raise ValueError(f"{self._target}: the result is written, and read-only")
        with self._lock, errors_of(self._to.path):
            _write(self._file.fileno(), start, memoryview(content))

    def finish(self, result: StackResult) -> None:
        """Write what comes after the images, and give the file its final name.

        Raises
        ------
        OutputError
            Where a file with that name has appeared meanwhile.
        WriteError
            Where writing fails.
        """
        frames = b""
        if "frames" in self._to.maps:
            table = list(extensions(result, ("frames",)))
            content, begins = self._to_bytes(fits.HDUList([fits.PrimaryHDU(), *table]))
            frames = content[begins[1][0] :]
        self.write(self._end, frames + self._tables)
        with errors_of(self._to.path):
            if is_packed(self._to.path):
                self._pack()
            else:
                self._seal(self._file, self._temporary)

    def _pack(self) -> None:
        with temporary_file(self._target.parent) as (file, temporary):
            with packing(file, True) as stream, self._temporary.open("rb") as whole:
                shutil.copyfileobj(whole, stream, _CHUNK)
            self._seal(file, temporary)

    def _seal(self, file: BinaryIO, temporary: Path) -> None:
        seal(file, temporary, self._target, self._to.overwrite)
        self._stamp = Stamp.of(str(self._target) if file.closed else file)

    @property
    def path(self) -> Path:
        """The final name, absolute: the current folder may have changed when the file is read."""
        return self._target

    def read(self, index: int, start: int, stop: int) -> NDArray[Any]:
        """Read values ``[start, stop)`` of the first axis of an HDU of the finished file.

        Raises
        ------
        FrameError
            Where the file is gone or is not the one that was written.
        """
        name = str(self._target)
        try:
            with reading(name), as_hdus(name, self._stamp, scaled=True) as hdus:
                return np.asarray(hdus[index].section[start:stop])
        except FrameError as err:
            raise type(err)(name, f"it no longer holds this result: {err.problem}") from err

    def _to_bytes(self, hdus: fits.HDUList) -> tuple[bytes, list[tuple[int, int, int]]]:
        """Return the bytes of small HDUs, and for each the offsets of header, data and data end."""
        stream = BytesIO()
        with errors_of(self._to.path):
            hdus.writeto(stream, output_verify=VERIFY)
        content = stream.getvalue()
        with fits.open(BytesIO(content), memmap=False) as found:
            infos = [hdu.fileinfo() for hdu in found]
        places = [(one["hdrLoc"], one["datLoc"], one["datLoc"] + one["datSpan"]) for one in infos]
        return content, places


def _resized(header: bytes, shape: tuple[int, ...]) -> bytes:
    """Return the bytes of an image header with other axis lengths."""
    lengths = {f"NAXIS{i}".ljust(8).encode(): n for i, n in enumerate(shape[::-1], 1)}
    cards = [header[at : at + _CARD] for at in range(0, len(header), _CARD)]
    return b"".join(
        b"%s= %20d%s" % (card[:8], lengths[card[:8]], card[30:]) if card[:8] in lengths else card
        for card in cards
    )


def _reserve(file: BinaryIO, size: int) -> None:
    """Extend a file to `size` bytes, so that a disk that is too small is found before the run."""
    if size > sys.maxsize:
        raise OSError(errno.EFBIG, f"{os.strerror(errno.EFBIG)}, {size:.3g} bytes")
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as err:
            if err.errno == errno.ENOSPC:
                raise _disk_full(file, size, err) from err
            if err.errno not in _CANNOT_RESERVE:
                raise
    file.truncate(size)


def _disk_full(file: BinaryIO, size: int, err: OSError) -> OSError:
    """Empty the file, and return the error with the bytes that are needed and free."""
    file.truncate(0)  # part of the space may have been reserved
    free = shutil.disk_usage(file.fileno()).free
    return OSError(err.errno, f"{err.strerror}: expected {size:,} bytes free, got {free:,}")


def _write(file: int, start: int, content: memoryview) -> None:
    """Write all of `content` past Python's buffer, which may fail to be written on close."""
    os.lseek(file, start, os.SEEK_SET)
    while content:
        content = content[os.write(file, content) :]
