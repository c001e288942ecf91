"""An image of a result in its file: takes rows while they are made, and reads them back later."""

from pathlib import Path
from typing import Any, NoReturn, Protocol

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.sink import Sink


class ResultFileLike(Protocol):
    """The file of a result, such as `gpustack.streaming.ResultFile`."""

    @property
    def path(self) -> Path:
        """The path of the file."""

    def write(self, start: int, content: Any) -> None:
        """Write bytes from `start` on."""

    def read(self, index: int, start: int, stop: int) -> NDArray[Any]:
        """Values ``[start, stop)`` of the first axis of an HDU."""


class FileSink(Sink):
    """Writes the rows of one image to a file, and adds up masks and unsigned integers.

    After the run it stands in for the image: it has the shape, dtype, length and ndim of the image,
    and reads from the file when it is indexed or converted to an array.

    Parameters
    ----------
    shape, dtype
        As of `Sink`.
    file : ResultFileLike
    """

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any], file: ResultFileLike) -> None:
        super().__init__(shape, dtype)
        self._file = file
        self._start: int | None = None
        self._index = 0

    def __repr__(self) -> str:
        return f"{self.dtype} image of {self.shape} in {self._file.path}"

    def __len__(self) -> int:
        return self.shape[0]

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"expected an array to pickle or copy, got an image in a file, {self._file.path}; "
            "StackResult.to_host() reads it"
        )

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def is_placed(self) -> bool:
        """Whether the image has a place in the file."""
        return self._start is not None

    @property
    def nbytes(self) -> int:
        """Bytes of the image in the file."""
        return self.size * self.dtype.itemsize

    def header_template(self) -> NDArray[Any]:
        """An array of one value that has the FITS header of the image, except for axis lengths."""
        return np.zeros((1,) * len(self.shape), self.dtype)

    def place(self, start: int, index: int) -> None:
        """Set where rows are written from now on: from byte `start`, as the data of HDU `index`."""
        self._start, self._index = start, index

    def write(self, start: int, rows: NDArray[Any]) -> None:
        """Write rows, of which the first is row `start` of the image."""
        if self.dtype.kind in "bu":
            self.add(int(rows.sum(dtype=np.int64)))
        if self._start is not None:
            begin = self._start + start * self.shape[-1] * self.dtype.itemsize
            self._file.write(begin, as_stored(rows, self.dtype).reshape(-1).view(np.uint8))

    def mean(self) -> float:
        """The mean of all values of a mask or of unsigned integers."""
        return self.total / self.size

    def get(self) -> NDArray[Any]:
        """All values, read back from the file.

        Raises
        ------
        FrameError
            Where the file has changed since the run, or is gone.
        """
        return self._read(0, len(self))

    def __getitem__(self, key: Any) -> Any:
        """Index as an array. A first index that is a number or slice limits what is read."""
        first, *rest = key if isinstance(key, tuple) and key else (key,)
        if isinstance(first, slice):
            wanted = range(*first.indices(len(self)))
            start, stop = (min(wanted), max(wanted) + 1) if wanted else (0, 0)
            return self._read(start, stop)[(slice(None, None, wanted.step), *rest)]
        if isinstance(first, int | np.integer) and not isinstance(first, bool):
            at = range(len(self))[first]
            return self._read(at, at + 1)[(0, *rest)]
        return self.get()[key]

    def _read(self, start: int, stop: int) -> NDArray[Any]:
        """Read ``[start, stop)`` of the first axis."""
        if start == stop:
            return np.empty((0, *self.shape[1:]), self.dtype)
        return self._file.read(self._index, start, stop).astype(self.dtype, copy=False)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError(
                "expected copy=None or True, as the image is read from a file, got copy=False"
            )
        return np.asarray(self.get(), dtype)


def as_stored(rows: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    """A new array with values of `dtype` as FITS stores them: big-endian, integers with an offset.

    FITS stores unsigned integers of more than one byte as signed ones, and signed ones of one byte
    as unsigned ones, both with a BZERO that flips the highest bit (FITS standard 4.0, section
    5.2.5).
    """
    if dtype.kind == "b":
        return np.array(rows, np.uint8, order="C")
    stored = np.array(rows, dtype.newbyteorder(">"), order="C")
    size = dtype.itemsize
    if (dtype.kind == "u" and size > 1) or dtype == np.int8:
        bits = stored.view(f">u{size}")
        np.bitwise_xor(bits, bits.dtype.type(1 << (8 * size - 1)), out=bits)
    return stored
