"""The files of the demo, and which existing files it may replace."""

import glob
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from astropy.io import fits

from gpustack.demo.simulate import OBJECT
from gpustack.errors import OutputError
from gpustack.frames.hdus import quiet

#: The title of the picture, by which an earlier demo's picture is recognised.
TITLE = "gpustack demo"

#: The first bytes of a picture, and how many bytes to search for the title, which precedes the
#: pixels.
_PNG, _HEAD = b"\x89PNG\r\n\x1a\n", 1024


@dataclass(frozen=True, slots=True)
class Files:
    """Where the demo writes."""

    folder: Path

    @property
    def raw(self) -> Path:
        """Folder of the exposures."""
        return self.folder / "raw"

    @property
    def frames(self) -> Path:
        """Folder of the aligned frames."""
        return self.folder / "frames"

    @property
    def pattern(self) -> str:
        """Glob of the aligned frames."""
        return str(Path(glob.escape(str(self.frames))) / "frame-*.fits")

    @property
    def stack(self) -> Path:
        """The clipped stack."""
        return self.folder / "stack.fits"

    @property
    def preview(self) -> Path:
        """The picture."""
        return self.folder / "preview.png"

    def check(self) -> None:
        """Check that all files to be replaced are of an earlier demo; change nothing.

        Raises
        ------
        OutputError
            Where a file of another origin is in the way.
        """
        for path in (*self._replaced(), *self._results()):
            if not _is_of_a_demo(path):
                raise OutputError(
                    f"{path}: exists and is not from an earlier demo: move it away, or give "
                    "another folder (--out)"
                )

    def clear(self) -> None:
        """Make the folders, and delete the exposures and frames of an earlier demo in them."""
        for folder in (self.raw, self.frames):
            folder.mkdir(parents=True, exist_ok=True)
        for path in self._replaced():
            path.unlink()

    def _replaced(self) -> Iterator[Path]:
        """The existing exposures and frames."""
        yield from sorted(self.raw.glob("exposure-*.fits"))
        yield from sorted(self.frames.glob("frame-*.fits"))

    def _results(self) -> Iterator[Path]:
        """The stack and the picture, if they exist, be it as dangling links."""
        yield from (path for path in (self.stack, self.preview) if os.path.lexists(path))


def _is_of_a_demo(path: Path) -> bool:
    """Whether a demo wrote a file, or the file is empty, so that nothing can be lost."""
    try:
        if not path.is_file():
            return False
        if path.stat().st_size == 0:
            return True  # a demo was killed before it wrote more
        return _has_title(path) if path.suffix == ".png" else _is_simulated(path)
    except Exception:  # noqa: BLE001 - of many kinds; an unreadable file may be anybody's
        return False


def _has_title(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(_HEAD)
    return head.startswith(_PNG) and TITLE.encode() in head


def _is_simulated(path: Path) -> bool:
    with quiet():
        header = fits.getheader(path)
    return header.get("OBJECT") == OBJECT and "SEED" in header
