"""Draw the pictures of docs/tutorial.md from the images that its code makes.

``python docs/draw_tutorial.py docs/pictures``
"""

import base64
import contextlib
import os
import re
import struct
import sys
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from draw_columns import text

PAGE = Path(__file__).with_name("tutorial.md")
#: The number of grey levels: few, so that noise compresses well.
LEVELS = 24
GAP, TOP, ACROSS = 8, 20, 2


def names_of_the_page() -> dict[str, Any]:
    """Run the Python of the page, except its sessions, and return the names that it defines."""
    names: dict[str, Any] = {"__name__": "tutorial"}
    for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        if ">>>" not in code:
            exec(code, names)  # noqa: S102 - the page of this folder
    return names


def png(image: np.ndarray) -> bytes:
    """An image of uint8 as a grey PNG with row 0 at the bottom, as FITS viewers show it."""
    rows = b"".join(b"\0" + row.tobytes() for row in image[::-1])
    height, width = image.shape
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    chunks = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def grey(image: np.ndarray, low: float, high: float) -> np.ndarray:
    """An image from black at `low` to white at `high`; NaN is black."""
    share = np.clip((np.nan_to_num(image, nan=low) - low) / (high - low), 0, 1)
    return (np.round(share * (LEVELS - 1)) * (255 / (LEVELS - 1))).astype(np.uint8)


def panel(place: int, title: str, image: np.ndarray) -> str:
    """An image with its title."""
    height, width = (ACROSS * length for length in image.shape)
    x = GAP + place * (width + GAP)
    data = base64.b64encode(png(image)).decode()
    return text(x + width / 2, 14, title, 12) + (
        f'<image x="{x}" y="{TOP}" width="{width}" height="{height}" '
        f'style="image-rendering:pixelated" href="data:image/png;base64,{data}"/>'
    )


def picture(panels: Sequence[tuple[str, np.ndarray]]) -> str:
    """An SVG of images beside each other."""
    height, width = panels[0][1].shape
    across, down = GAP + len(panels) * (ACROSS * width + GAP), TOP + ACROSS * height + GAP
    box = f'viewBox="0 0 {across} {down}" width="{across}" height="{down}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {box} font-family="sans-serif">',
            f'<rect width="{across}" height="{down}" fill="white"/>',
            *(panel(place, title, image) for place, (title, image) in enumerate(panels)),
            "</svg>",
            "",
        ]
    )


def spread(image: np.ndarray) -> np.ndarray:
    """An image in grey over 98% of its samples."""
    return grey(image, *np.nanpercentile(image, (1, 99)))


def pictures() -> dict[str, str]:
    """The pictures of the page, as SVG by name; the page writes its files to the current folder."""
    made = names_of_the_page()
    raw = {"bias": "bias-03", "dark": "dark-03", "flat": "flat-09", "science": "m51-03"}
    masters = {name: made[name].data for name in ("bias", "dark", "flat")}
    one = fits.getdata("calibrated/m51-03.fits")
    sky = float(np.median(one))
    deep = {"one frame": one, "plain mean": made["plain"].data, "clipped mean": made["deep"].data}
    ends = (sky - 60, sky + 240)
    rejected = grey(made["deep"].low + made["deep"].high, 0, 3)
    return {
        "tutorial-raw": picture(
            [(name, spread(fits.getdata(f"data/{file}.fits"))) for name, file in raw.items()]
        ),
        "tutorial-masters": picture([(name, spread(image)) for name, image in masters.items()]),
        "tutorial-deep": picture(
            [(name, grey(image, *ends)) for name, image in deep.items()] + [("rejected", rejected)]
        ),
    }


def main(folder: str) -> None:
    """Write all pictures into a folder."""
    out, home = Path(folder).resolve(), Path.cwd()
    with tempfile.TemporaryDirectory() as work, contextlib.ExitStack() as back:
        back.callback(os.chdir, home)
        os.chdir(work)
        for name, drawn in pictures().items():
            (out / f"{name}.svg").write_text(drawn)


if __name__ == "__main__":
    main(*sys.argv[1:])
