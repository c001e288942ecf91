"""The demo: simulate dithered exposures, align and stack them, and check the stack.

The demo uses the files as a user would: aligned FITS frames go through `gpustack.engine.stack`,
as on the command line. Only the simulation knows the truth.
"""

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from astropy.io import fits
from astropy.nddata import CCDData
from numpy.typing import NDArray

from gpustack import backends, engine
from gpustack.align.project import wcs_project
from gpustack.clips import SigmaClip
from gpustack.demo.files import TITLE, Files
from gpustack.demo.judge import check_stack, expect
from gpustack.demo.report import Outcome, report_lines
from gpustack.demo.simulate import OUTSIDE, Field, exposures, make_field
from gpustack.demo.truth import Truth, make_truth, noise_of, shared_area, tally
from gpustack.drawing import (
    Panel,
    brightness,
    draw,
    rejected,
    require_matplotlib,
    signed_rejections,
)
from gpustack.errors import InputError, OutputError, WriteError
from gpustack.frames import open_frames
from gpustack.recipe import Recipe
from gpustack.writing import PICTURES, write_text

Echo = Callable[[str], object]
Result = TypeVar("Result")

#: The spread of 20 samples is itself uncertain by a quarter. A threshold of 3 would reject
#: 2 % of the good samples and add 7 % to the noise; 4 rejects 0.4 % and adds 2 %.
CLIP = SigmaClip(low=4.0, high=4.0, center="median", spread="mad_std")

#: Pixels on a side of the cutout that is drawn: few enough to show single hits.
CUTOUT = 320

#: The least and most frames, and pixels on a side. Fewer are too few to check the stack by.
FRAMES, SIZES = (8, 1000), (128, 4096)

#: The most samples, for the sake of laptops: this many are 3 GB of files, and projecting
#: frames of the largest size takes 2.5 GB of memory per core.
SAMPLES = 400_000_000


def run(
    folder: str | os.PathLike[str] = "demo",
    *,
    frames: int = 20,
    size: int = 1024,
    seed: int = 1,
    echo: Echo = print,
) -> bool:
    """Simulate, align, stack, report and check.

    Parameters
    ----------
    folder : path
        Created if it is missing. Files of an earlier demo in it are replaced, others are not.
    frames : int
        How many exposures, from 8 to 1000.
    size : int
        Pixels on a side, from 128 to 4096; in all at most 400 million samples.
    seed : int
        >= 0; the same seed gives the same exposures, byte for byte.
    echo : callable
        Takes each line of the report.

    Returns
    -------
    bool
        Whether the stack agrees with the truth.

    Raises
    ------
    InputError
        Where a number is out of its range.
    MissingPackageError
        Where matplotlib is not installed.
    OutputError
        Where a file of another origin is in the way; nothing has been written then.
    WriteError
        Where the folder or a file cannot be written.
    """
    _check_numbers(frames, size, seed)
    require_matplotlib("the demo")
    files = Files(Path(folder))
    try:
        files.check()
        echo(f"{frames} dithered exposures of {size} x {size} pixels, seed {seed}")
        field = make_field(frames, size, seed)
        files.clear()
        kinds = _timed(echo, f"simulated into {files.raw}", lambda: write_exposures(field, files))
        _timed(echo, f"aligned into {files.frames}", lambda: align_exposures(files))
    except OutputError:
        raise
    except OSError as err:
        raise WriteError(f"{folder}: the demo could not write here: {err}") from err
    outcome = _stack_and_judge(files, field, make_truth(field, kinds))
    right = all(check.passed for check in outcome.checks)
    verdict = "The stack is right." if right else "The stack is WRONG."
    for line in (*report_lines(outcome), "", verdict, str(files.stack), str(files.preview)):
        echo(line)
    return right


def _check_numbers(frames: int, size: int, seed: int) -> None:
    _check_range("frames", frames, *FRAMES)
    _check_range("size", size, *SIZES)
    _check_range("seed", seed, 0, 2**63 - 1)
    samples = frames * size * size
    if samples > SAMPLES:
        raise InputError(
            f"frames x size x size: expected at most {SAMPLES:,} samples, which a laptop holds, "
            f"got {samples:,}"
        )


def _check_range(name: str, value: int, low: int, high: int) -> None:
    if not (isinstance(value, int) and low <= value <= high):
        raise InputError(f"{name}: expected a whole number from {low} to {high}, got {value}")


def _timed(echo: Echo, what: str, work: Callable[[], Result]) -> Result:
    start = time.perf_counter()
    result = work()
    echo(f"  {what} ({time.perf_counter() - start:.1f} s)")
    return result


def write_exposures(field: Field, files: Files) -> NDArray[np.uint8]:
    """Write every raw exposure, and return what was added to its samples.

    Returns
    -------
    ndarray of uint8, shape (n, size, size)
        Kinds of samples on the grid, as in `gpustack.demo.simulate`.
    """
    kinds = np.empty((len(field.offsets), field.size, field.size), dtype=np.uint8)
    for index, exposure in enumerate(exposures(field)):
        path = files.raw / f"exposure-{index + 1:04d}.fits"
        fits.writeto(path, exposure.data, exposure.header)
        kinds[index] = field.on_grid(exposure.kinds, index, OUTSIDE)
    return kinds


def align_exposures(files: Files) -> None:
    """Project every exposure onto the grid of the first, and write it as a frame.

    Each pixel gets the nearest sample. As dithers are of whole pixels, this moves samples
    without mixing them. Frames are float32, with a mask where the exposure does not reach.
    """
    paths = sorted(files.raw.glob("exposure-*.fits"))
    target = CCDData.read(paths[0]).wcs

    def align(path: Path) -> None:
        # wcslib keeps state in a WCS: each thread needs its own.
        aligned = wcs_project(CCDData.read(path), target.deepcopy(), order="nearest-neighbor")
        aligned.data = aligned.data.astype(np.float32)
        aligned.write(files.frames / path.name.replace("exposure", "frame"))

    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        list(pool.map(align, paths))


def _stack_and_judge(files: Files, field: Field, truth: Truth) -> Outcome:
    """Stack the frames as the command line does, and measure what came out."""
    start = time.perf_counter()
    clipped = engine.stack(files.pattern, clips=[CLIP], combine="mean")
    seconds = time.perf_counter() - start
    clipped.write(files.stack, overwrite=True)
    plain = engine.stack(files.pattern, combine="mean")
    frames = open_frames(files.pattern)
    # Once more, for the mask of all samples: maps of counts do not say which frames lost one.
    marks = np.asarray(engine.run(frames, Recipe(clips=(CLIP,)), reasons=True).marks)
    # A frame with a satellite; the simulation knows which.
    frame = frames[field.crossed[0]].whole().filled(np.nan)
    area = shared_area(field)
    expected = expect(CLIP, len(frames), field.seed)
    images = {"one frame": frame, "plain mean": plain.data, "clipped mean": clipped.data}
    noises = {name: noise_of(image[area], truth) for name, image in images.items()}
    lost = Panel(
        "Rejected samples",
        f"{100.0 * float(clipped.frames['rejected'].mean()):.1f} % of {len(frames)} frames",
        middle(signed_rejections(clipped.low, clipped.high)),
        rejected(),
    )
    picture = draw([[*_panels(images, noises), lost]], TITLE)
    write_text(files.preview, picture, overwrite=True, endings=PICTURES)
    return Outcome(
        frames=len(frames),
        size=field.size,
        backend=backends.get("auto").name,
        seconds=seconds,
        noises=noises,
        expected=expected,
        counts=tally(truth, marks[:, *area]),
        checks=check_stack(clipped.data[area], marks[:, *area], truth, expected),
    )


def _panels(
    images: dict[str, NDArray[Any]], noises: dict[str, tuple[float, float]]
) -> Iterator[Panel]:
    """The middle of one frame and of two stacks, in the colours of the frame."""
    colours = brightness(images["one frame"])
    for name, image in images.items():
        note = f"background rms {noises[name][1]:.1f} e"
        yield Panel(name.capitalize(), note, middle(image), colours)


def middle(image: NDArray[Any]) -> NDArray[Any]:
    """Return the cutout of an image that is drawn."""
    starts = [max(0, (length - CUTOUT) // 2) for length in image.shape]
    return image[starts[0] : starts[0] + CUTOUT, starts[1] : starts[1] + CUTOUT]
