"""The code blocks of README.md and the pages of docs/, and the files that the blocks read."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits

import starfield

ROOT = Path(__file__).resolve().parents[1]
#: docs/decisions/ is left out: it shows nothing to run.
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md")])
LANGUAGES = {"python", "sh", "console", "text", "json", "{toctree}", "{include}", "{eval-rst}"}
_BLOCK = re.compile(
    r"(?:^<!-- (?P<marker>parsed only: .*?) -->\n+)?"
    r"^```(?P<language>\S*)[^\n]*\n(?P<body>(?:.*\n)*?)```$",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page, its first line, and `marker`: why it is not run, or None."""

    language: str
    body: str
    line: int
    marker: str | None

    @property
    def commands(self):
        """The commands of a shell block as lists of words; of a console, those after ``$``."""
        body = self.body
        if self.language == "console":
            body = "\n".join(re.findall(r"^\$ ((?:.*\\\n)*.*)", body, re.MULTILINE))
        lines = body.replace("\\\n", " ").splitlines()
        commands = [part for line in lines for part in re.split(r"&&|;", line)]
        return [words for words in (shlex.split(line, comments=True) for line in commands) if words]


def blocks(page):
    """All fenced blocks of a page."""
    text = page.read_text()
    for match in _BLOCK.finditer(text):
        line = text.count("\n", 0, match.start("language"))
        yield Block(match["language"], match["body"], line, match["marker"])


def without_blocks(page):
    """The text of a page without its blocks."""
    return _BLOCK.sub("", page.read_text())


def write_frames(folder, shape=(400, 520), count=12):
    """Write ``frames/*.fits``: twelve exposures, so that a sigma clip can reject one."""
    (folder / "frames").mkdir()
    rng = np.random.default_rng(1)
    header = fits.Header({"BUNIT": "adu", "EXPTIME": 60.0, "OBJECT": "M 51"})
    for number in range(1, count + 1):
        sky = rng.normal(1000, 10, shape).astype(np.float32)
        fits.writeto(folder / f"frames/m51_{number}.fits", sky, header)


def write_night(folder):
    """Write ``night/*.fits``: twelve exposures of a star field, each shifted by a few pixels."""
    (folder / "night").mkdir()
    stars = starfield.field((150, 170), around=20, apart=22)
    for number in range(12):
        shift = complex(number % 4, number // 4)
        header = fits.Header({"BUNIT": "adu", "EXPTIME": 30.0 + 0.4 * (number % 2)})
        header.update({"RDNOISE": 5.0, "GAIN": 1.5})
        header.update({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 10.0, "CRVAL2": 20.0})
        header.update({"CRPIX1": 85.0 - shift.real, "CRPIX2": 75.0 - shift.imag})
        header.update({"CDELT1": -0.2 / 3600, "CDELT2": 0.2 / 3600})
        image = starfield.taken(stars, (150, 170), shift=shift, seed=number)
        fits.writeto(folder / f"night/{number}.fits", image.astype(np.float32), header)


def write_planes(folder):
    """Write image, mask and weight map of three exposures, as the NOAO Community Pipeline does."""
    rng = np.random.default_rng(2)
    for number in range(1, 4):
        flags, image = np.zeros((24, 32), np.int16), rng.normal(100, 5, (24, 32)).astype("f4")
        flags[number, number] = 1
        weights = np.where(flags, 0, 0.04).astype(np.float32)
        for kind, plane in (("ooi", image), ("ood", flags), ("oow", weights)):
            header = fits.Header({"BUNIT": "adu"} if kind == "ooi" else {})
            hdu = fits.CompImageHDU(plane, header, compression_type="GZIP_2")
            hdu.writeto(folder / f"c4d_{number}_{kind}_z.fits.fz")


def write_raw(folder):
    """Write three exposures as a camera does, without a unit."""
    (folder / "raw").mkdir()
    rng = np.random.default_rng(3)
    for number in range(1, 4):
        fits.writeto(folder / f"raw/{number}.fits", rng.normal(500, 5, (24, 32)).astype("u2"))


def write_chips(folder):
    """Write three bias frames of a camera with two chips, each chip in an extension."""
    (folder / "chips").mkdir()
    rng = np.random.default_rng(4)
    for number in range(1, 4):
        hdus = [fits.PrimaryHDU()]
        for chip in (1, 2):
            image = rng.normal(500, 5, (24, 32)).astype("u2")
            hdus.append(fits.ImageHDU(image, name="SCI", ver=chip))
        fits.HDUList(hdus).writeto(folder / f"chips/{number}.fits")


#: Part of a file name on a page -> function that writes such files.
WRITERS = {
    "frames/": write_frames,
    "night/": write_night,
    "c4d": write_planes,
    "raw/": write_raw,
    "chips/": write_chips,
}


def write_files(page, folder):
    """Write the files that a page reads."""
    text = page.read_text()
    for word, write in WRITERS.items():
        if word in text:
            write(folder)
