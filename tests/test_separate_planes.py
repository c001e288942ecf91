"""No output is written over a file that is read; for the command line, see test_cli_images."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from gpustack import FromFile, Image, Reproject, ToFile, stack
from gpustack.errors import FrameError

BESIDE = {
    "target": {"align": "wcs:target={}"},
    "target as a path": {"align": lambda path: Reproject(target=Path(path))},
    "offsets": {"align": "offsets:source=@{}"},
    "scale": {"scale": "@{}"},
    "zero": {"zero": FromFile},
}


@pytest.mark.parametrize("how", BESIDE.values(), ids=BESIDE)
def test_no_file_that_arguments_name_is_replaced(tmp_path, how):
    target = tmp_path / "t.fits"
    target.write_bytes(b"mine")
    how = {
        name: text.format(target) if isinstance(text, str) else text(str(target))
        for name, text in how.items()
    }
    fits.writeto(tmp_path / "a.fits", np.ones((4, 5), "i2"))
    to = ToFile(target, overwrite=True)
    with pytest.raises(FrameError, match=r"t\.fits: expected another output, got the [ton]"):
        stack(str(tmp_path / "a.fits"), unit="adu", outputs=to, **how)
    assert target.read_bytes() == b"mine"


@pytest.mark.parametrize("what", ["data", "mask", "weight", "variance"])
def test_no_file_that_frames_are_read_from_is_replaced(tmp_path, what):
    files = [tmp_path / f"{name}.fits" for name in ("a", "b", "m")]
    for file in files:
        fits.writeto(file, np.ones((4, 5), "i2"))
    target = files[1] if what == "data" else files[2]
    before = target.read_bytes()
    link = tmp_path / "link.fits"
    link.symlink_to(target)
    beside = "mask" if what == "data" else what
    frames = [Image(str(files[0]), **{beside: str(files[2])}), str(files[1])]
    for path in (target, link):
        with pytest.raises(FrameError, match=rf"{target.name}: expected another output"):
            stack(frames, unit="adu", outputs=ToFile(path, overwrite=True))
    assert target.read_bytes() == before
