"""An image of a result that lies in its file: it takes rows while they are made, and reads them."""

from pathlib import Path
from typing import Any, NoReturn, Protocol

import numpy as np
from numpy.typing import NDArray

from gpustack.backends.sink import Sink


class Written(Protocol):
    """The file, as `gpustack.streaming.ResultFile` is one."""

    @property
    def path(self) -> Path:
        """Its name."""

    def write(self, start: int, content: Any) -> None:
        """Write bytes from `start` on."""

    def read(self, index: int, start: int, stop: int) -> NDArray[Any]:
        """Values ``[start, stop)`` of the first axis of an HDU."""


class FileSink(Sink):
    """Takes the rows of one image of a file, and adds them up where they are whole numbers.

    When the run is over it stands in for the image: it has its shape, dtype, length and axes, and
    reads what is asked for when it is indexed or turned into an array.

    Parameters
    ----------
    shape, dtype
        As of `Sink`.
    file : Written
    """

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any], file: Written) -> None:
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
        """How many axes."""
        return len(self.shape)

    @property
    def is_placed(self) -> bool:
        """Whether the file has it."""
        return self._start is not None

    @property
    def nbytes(self) -> int:
        """In the file."""
        return self.size * self.dtype.itemsize

    def stub(self) -> NDArray[Any]:
        """One value, with as many axes: its header is that of the image, but for their lengths."""
        return np.zeros((1,) * len(self.shape), self.dtype)

    def place(self, start: int, index: int) -> None:
        """From now on, rows go to byte `start` of the file and on, the data of HDU `index`."""
        self._start, self._index = start, index

    def write(self, start: int, rows: NDArray[Any]) -> None:
        """Write rows from `start` on."""
        if self.dtype.kind in "bu":
            self.add(int(rows.sum(dtype=np.int64)))
        if self._start is not None:
            begin = self._start + start * self.shape[-1] * self.dtype.itemsize
            self._file.write(begin, as_stored(rows, self.dtype).reshape(-1).view(np.uint8))

    def mean(self) -> float:
        """Of a mask or of unsigned integers, the mean of all values."""
        return self.total / self.size

    def get(self) -> NDArray[Any]:
        """All values, read back from the file.

        Raises
        ------
        FrameError
            Where the file has changed since, or is gone.
        """
        return self._read(0, len(self))

    def __getitem__(self, key: Any) -> Any:
        """As of an array; of the file, only what a first index says that is a number or a slice."""
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
        """Values ``[start, stop)`` of the first axis."""
        if start == stop:
            return np.empty((0, *self.shape[1:]), self.dtype)
        return self._file.read(self._index, start, stop).astype(self.dtype, copy=False)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("expected that a copy may be made, got copy=False: it is in a file")
        return np.asarray(self.get(), dtype)


def as_stored(rows: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Values of `dtype` as FITS has them, a fresh array: big-endian; of integers, the sign moved.

    Unsigned integers of more than one byte are signed ones plus BZERO, and signed ones of one byte
    unsigned ones: their first bit is turned (FITS standard 4.0, section 5.2.5).
    """
    if dtype.kind == "b":
        return np.array(rows, np.uint8, order="C")
    stored = np.array(rows, dtype.newbyteorder(">"), order="C")
    size = dtype.itemsize
    if (dtype.kind == "u" and size > 1) or dtype == np.int8:
        bits = stored.view(f">u{size}")
        np.bitwise_xor(bits, bits.dtype.type(1 << (8 * size - 1)), out=bits)
    return stored
