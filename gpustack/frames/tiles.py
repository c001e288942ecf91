"""Checks of tile-compressed images before astropy's decoders, written in C, see them.

The decoders trust the file: a BYTEPIX that Rice coding does not have, an HCOMPRESS stream of an
image larger than its tile, a PLIO list that claims to be longer than it is. They then read and
write memory that is not theirs.
"""

import math
from collections.abc import Iterator

import numpy as np

from gpustack.errors import FrameError
from gpustack.frames.hdus import BITPIX, Hdu, quiet, quietly, whole_card
from gpustack.frames.onfile import as_hdus

_RICE = ("RICE_1", "RICE_ONE")
_CODECS = (*_RICE, "GZIP_1", "GZIP_2", "HCOMPRESS_1", "PLIO_1", "NOCOMPRESS")

#: No tile compression is denser than this: HCOMPRESS turns some 10,000 bytes of a constant image
#: into one.
_MAX_EXPANSION = 100_000

#: The sizes of integers, in bytes, that Rice coding supports.
_BYTEPIX = (1, 2, 4)

#: The start of an HCOMPRESS stream: two bytes, then the two axes of its image in four bytes each.
_MAGIC, _AXES = b"\xdd\x99", np.dtype(">i4")

#: BITPIX -> bytes that decoding takes per sample of a tile; see `held_bytes`.
_DECODING = {8: 14, 16: 14, 32: 24, 64: 44, -32: 30, -64: 60}

#: Words of the shortest header of a PLIO list, and words of a longer one up to the length.
_PLIO_HEADER, _PLIO_LENGTHS = 3, 5


def check_tiles(file: str, hdu: Hdu) -> None:
    """Raise where the tiles cannot make the image that the header promises.

    Raises
    ------
    FrameError
        Where the codec, type, number or size of the tiles, or a setting of Rice coding is wrong.
    """
    header = hdu.header
    codec, bits = header.get("ZCMPTYPE"), header.get("ZBITPIX")
    if codec not in _CODECS or bits not in BITPIX:
        raise FrameError(
            file,
            f"expected ZCMPTYPE one of {', '.join(_CODECS)} and ZBITPIX one of "
            f"{', '.join(map(str, BITPIX))}, got {codec!r} and {bits!r}",
        )
    axes, tiles, rows = hdu.shape, _tile(file, hdu), whole_card(file, header, "NAXIS2")
    count = math.prod(-(-length // max(tile, 1)) for length, tile in zip(axes, tiles, strict=True))
    if min(tiles) < 1 or count != rows:
        raise FrameError(
            file,
            f"expected {rows} tiles (NAXIS2), got an image of shape {axes} with {count} tiles of "
            f"shape {tiles}",
        )
    size, image = hdu.stop - hdu.start, math.prod(axes) * abs(bits) // 8
    if image > _MAX_EXPANSION * size:
        raise FrameError(
            file,
            f"expected compressed data for an image of {image:,} bytes (shape {axes}), "
            f"got {size:,} bytes",
        )
    if codec in _RICE:
        _check_rice(file, hdu)


def _tile(file: str, hdu: Hdu) -> tuple[int, ...]:
    """Return the shape of a tile in numpy order, no larger than the image."""
    axes = enumerate(hdu.shape[::-1], 1)
    tile = [
        min(whole_card(file, hdu.header, f"ZTILE{n}", length if n == 1 else 1), length)
        for n, length in axes
    ]
    return tuple(tile[::-1])


def _check_rice(file: str, hdu: Hdu) -> None:
    size, block = _setting(file, hdu, "BYTEPIX", 4), _setting(file, hdu, "BLOCKSIZE", 32)
    if size not in _BYTEPIX or block < 1:
        raise FrameError(
            file,
            f"Rice compression: expected BYTEPIX one of {', '.join(map(str, _BYTEPIX))} and "
            f"BLOCKSIZE >= 1, got {size} and {block}",
        )


def _setting(file: str, hdu: Hdu, name: str, default: int) -> int:
    """Return a setting of a codec as astropy does: the first with that name, in any case."""
    header, n = hdu.header, 1
    while f"ZNAME{n}" in header and str(header[f"ZNAME{n}"]).upper() != name:
        n += 1
    return whole_card(file, header, f"ZVAL{n}") if f"ZNAME{n}" in header else default


def held_bytes(file: str, hdu: Hdu) -> int:
    """Return the bytes that astropy takes to decode a tile, and that `check_streams` takes.

    Measured with tiles of 2 million samples of noise, for each type with the codec that takes
    most: GZIP_2 without quantization, which holds the inflated data several times over.
    """
    streams = 2 * (hdu.stop - hdu.start) if has_streams(hdu) else 0
    return math.prod(_tile(file, hdu)) * _DECODING[hdu.header["ZBITPIX"]] + streams


def has_streams(hdu: Hdu) -> bool:
    """Whether `check_streams` has anything to check."""
    return hdu.header.get("ZCMPTYPE") in _PROBLEMS


def check_streams(file: str, hdu: Hdu) -> None:
    """Read all compressed tiles and raise where what one says of itself cannot be true.

    Parameters
    ----------
    file : str
    hdu : Hdu
        An HDU for which `has_streams` is True.

    Raises
    ------
    FrameError
        The message names the tile, what it says, and what was expected.
    """
    find_problem = _PROBLEMS[hdu.header["ZCMPTYPE"]]
    with quietly(as_hdus(file, hdu.stamp, hdu.span, tiles=False)) as hdus:
        with quiet():
            table = hdus[1].data
        streams = table["COMPRESSED_DATA"]
    for number, (stream, tile) in enumerate(zip(streams, _tiles(file, hdu), strict=True)):
        found = np.asarray(stream)
        content = found.astype(found.dtype.newbyteorder("=")).tobytes()  # as the decoder sees it
        if content and (problem := find_problem(content, tile)):  # empty: compressed otherwise
            raise FrameError(file, f"tile {number}: {problem}")


def _problem_of_hcompress(content: bytes, tile: tuple[int, ...]) -> str:
    """Return the problem if a stream's image lacks the tile's shape, in any order; or ""."""
    size = len(_MAGIC) + 2 * _AXES.itemsize
    axes = np.frombuffer(content[:size].ljust(size, b"\0"), _AXES, offset=len(_MAGIC)).tolist()
    if content.startswith(_MAGIC) and sorted(axes) == sorted(tile):
        return ""
    return (
        f"expected an HCOMPRESS stream of shape {tile}, got one of {tuple(axes)} that begins "
        f"with {content[:2]!r}"
    )


def _problem_of_plio(content: bytes, tile: tuple[int, ...]) -> str:
    """Return the problem if a line list claims too many words, or too short a header; or "".

    Where the third word is positive, it is the length of the list. Else the second word is the
    length of the header, and the fourth and fifth are the length of the list (IRAF, `plio.h`).
    """
    words = np.frombuffer(content[: len(content) // 2 * 2], np.int16).astype(int)
    _, header, *length = [*words[:5].tolist(), 0, 0, 0, 0, 0][:5]
    short = length[0] > 0
    said, begin = (length[0], _PLIO_HEADER) if short else (length[1] + (length[2] << 15), header)
    # With fewer words, the decoder would read the length from beyond the end of the list.
    is_whole = len(words) >= (_PLIO_HEADER if short else _PLIO_LENGTHS)
    if is_whole and 0 <= said <= len(words) and begin >= _PLIO_HEADER:
        return ""
    return (
        f"expected a PLIO list of {len(words)} words, with a header of {_PLIO_HEADER} or more, "
        f"got one that claims {said} words and a header of {begin}"
    )


#: Codec -> the check of its streams, which returns the problem, or "".
_PROBLEMS = {"HCOMPRESS_1": _problem_of_hcompress, "PLIO_1": _problem_of_plio}


def _tiles(file: str, hdu: Hdu) -> Iterator[tuple[int, ...]]:
    """Yield the shape of each tile, without axes of 1; tiles at the end of an axis may be cut."""
    full = _tile(file, hdu)
    counts = [-(-length // tile) for length, tile in zip(hdu.shape, full, strict=True)]
    for place in np.ndindex(*counts):
        cut = (
            min(tile, length - at * tile)
            for at, tile, length in zip(place, full, hdu.shape, strict=True)
        )
        yield tuple(length for length in cut if length != 1)
