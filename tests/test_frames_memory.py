"""Reading rows takes the memory that a frame reports in advance, on which limits rely."""

import numpy as np
import pytest

from fitsmaker import image_header
from gpustack import Image
from gpustack.frames import open_frames
from traced import traced

WIDTH, ROWS, READ = 1 << 14, 256, 64

#: Bytes allowed for headers and for Python itself.
BESIDE = 500_000


def sparse(path, kind):
    """Write an image of zeros as a sparse file, which takes no space on the disk."""
    with path.open("wb") as file:
        file.write(image_header(kind, (ROWS, WIDTH), BUNIT="adu"))
        file.truncate(2880 + -(-np.dtype(kind).itemsize * ROWS * WIDTH // 2880) * 2880)
    return path


@pytest.mark.parametrize(
    "kinds",
    [
        {},
        {"mask": "u1"},
        {"mask": "i4"},
        {"weight": "f4"},
        {"weight": "f8"},
        {"mask": "i2", "weight": "f4"},
    ],
    ids=str,
)
def test_rows_cost_what_a_frame_says(tmp_path, kinds):
    planes = {what: sparse(tmp_path / f"{what}.fits", kind) for what, kind in kinds.items()}
    (frame,) = open_frames(Image(sparse(tmp_path / "a.fits", "i2"), **planes))
    with traced() as taken:
        samples = frame.read(0, READ)
    assert samples.data.shape == (READ, WIDTH)
    assert taken.peak < READ * frame.row_bytes + BESIDE
