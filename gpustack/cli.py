"""The command line: a thin layer over `gpustack.engine.stack`."""

import glob
import logging
import re
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TextIO, get_args

import click

from gpustack import __version__
from gpustack.clips import parse_clip
from gpustack.errors import BackendError, FrameError, GpustackError, RecipeError
from gpustack.flags import Flags, parse_bits
from gpustack.measures import Role, as_measure, choices, place
from gpustack.recipe import Combine

#: Exit codes: 0 done, 1 the demo found its result wrong, and these.
BAD_INPUT, NO_BACKEND = 2, 3


class Parsed(click.ParamType[Any]):
    """What a function makes of a word, which raises RecipeError where it can make nothing."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name = name
        self.parse = parse

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """What the function makes, or a usage error."""
        try:
            return self.parse(value)
        except RecipeError as err:
            self.fail(str(err), param, ctx)


def _number_or_name(text: str) -> int | str:
    return int(text) if re.fullmatch("[0-9]+", text) else text


CLIP = Parsed("NAME:field=value,...", parse_clip)
REFERENCE = Parsed("N|mean", _number_or_name)
HDU = Parsed("number|name", _number_or_name)
BITS = Parsed("N,N,...", partial(parse_bits, "bits"))


class Numbers(click.ParamType[Any]):
    """Numbers with commas between, one a frame; or what they are taken from."""

    def __init__(self, role: Role) -> None:
        self.role = role
        self.name = "|".join([*choices(role), "N,N,..."])

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """A measure, or a list of floats."""
        if re.match("[!@a-z]", value) and value not in ("inf", "nan"):
            try:
                return as_measure(self.role, value)
            except RecipeError as err:
                self.fail(str(err), param, ctx)
        try:
            return [float(part) for part in value.split(",")]
        except ValueError:
            self.fail(f"expected {self.name}, got {value!r}", param, ctx)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="gpustack")
def cli() -> None:
    """Combine astronomical images: each pixel right, and fast.

    \b
    Start here:
      gpustack demo                   simulate exposures, stack them, show what it did
      gpustack info                   what works on this machine
      gpustack combine --help         every option
    """


@cli.command(
    short_help="Combine FITS files into one image.",
    epilog="Exit codes: 0 done, 2 bad input, 3 the backend cannot work here.",
)
@click.argument("frames", nargs=-1, required=True, metavar="FRAMES...")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="The file to write: .fits, .fit, .fts, or one of them and .gz.",
)
@click.option(
    "--combine",
    type=click.Choice(get_args(Combine)),
    default="mean",
    show_default=True,
    help="What the surviving samples of a pixel become.",
)
@click.option(
    "--clip",
    "clips",
    multiple=True,
    type=CLIP,
    metavar=CLIP.name,
    help="What to reject, see above. Clips work in the order given; repeat for more.",
)
@click.option(
    "--scale",
    type=Numbers("scale"),
    metavar=Numbers("scale").name,
    help="Factors, one a frame; or what they are taken from, see above.",
)
@click.option(
    "--zero",
    type=Numbers("zero"),
    metavar=Numbers("zero").name,
    help="What is subtracted before, one number a frame; or what it is taken from.",
)
@click.option(
    "--weights",
    type=Numbers("weights"),
    metavar=Numbers("weights").name,
    help="Weights >= 0, one a frame (mean and sum); or what they are taken from.",
)
@click.option(
    "--region",
    metavar="[X1:X2,Y1:Y2]",
    help="Where statistics and noise are measured; pixels count from 1.  [default: everywhere]",
)
@click.option(
    "--reference",
    type=REFERENCE,
    metavar=REFERENCE.name,
    help="The frame that others are brought to, counted from 0, or the mean of all.  "
    "[default: the first]",
)
@click.option(
    "--hdu",
    type=HDU,
    metavar=HDU.name,
    help="Extension of the files, 0 the primary.  [default: first image with data]",
)
@click.option(
    "--unit", help="Unit of the frames, in place of BUNIT: adu, electron, ... Nothing is converted."
)
@click.option(
    "--bad-bits",
    type=BITS,
    metavar=BITS.name,
    help="Values of the bits of integer masks that make a sample invalid: 4,8 or 12 or 0xc.  "
    "[default: all]",
)
@click.option(
    "--good-bits",
    type=BITS,
    metavar=BITS.name,
    help="Or those that do not; all others do.",
)
@click.option(
    "--dtype",
    type=click.Choice(["float32", "float64"]),
    help="Of the result.  [default: float32; float64 if the frames are wider]",
)
@click.option(
    "--backend", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True
)
@click.option(
    "--memory",
    metavar="bytes",
    help="Limit on samples held at once: 2GB, 500MiB, ...  [default: 512MiB]",
)
@click.option(
    "--device-memory",
    metavar="bytes",
    help="Limit on the memory taken on each CUDA device.  "
    "[default: GPUSTACK_DEVICE_MEMORY, or 80% of what is free]",
)
@click.option("--overwrite", is_flag=True, help="Replace the output if it exists.")
def combine(
    frames: tuple[str, ...],
    output: Path,
    overwrite: bool,
    region: str | None,
    reference: int | str | None,
    bad_bits: int | None,
    good_bits: int | None,
    **options: Any,
) -> None:
    """Combine FRAMES into one image: FITS files, .gz and .fz too, or quoted globs.

    Samples that the MASK or DQ extension of a file marks take no part.
    The output holds the image, a MASK and an UNCERT extension, as astropy's CCDData
    reads them, and in its header how it was made.

    \b
    Examples:
      gpustack combine bias*.fits -o bias.fits --combine median --unit adu
      gpustack combine flat*.fits -o flat.fits --scale median --clip sigma:low=3,high=3
      gpustack combine night/*.fits.gz -o sky.fits --clip range:high=60000 --clip sigma
      gpustack combine moon*.fits -o deep.fits --scale mad --zero median --weights noise

    \b
    Scale, zero and weights, beside numbers:
      median, mean, mode   of each frame; it is brought to the first one's
      mad                  scale: the spread; with --zero median, spread and level
      exposure             scale and weights: EXPTIME
      overlap              zero: from where frames that cover parts overlap
      noise, ncombine      weights: inverse variance of the noise; NCOMBINE
      !KEYWORD, @FILE      numbers in the headers; in a file, one a line

    \b
    Clips, each with what holds where it is left out:
      range:low=none,high=none
          samples below low or above high, before --scale and --zero
      extrema:nlow=1,nhigh=1,among=valid
          so many of the lowest and highest samples of a pixel
      sigma:low=3,high=3,center=median,spread=std,maxiters=none,ddof=0,about=mean
          samples further than low or high spreads (std or mad_std) from the
          center (median, mean or trimmed_mean), until nothing changes or
          maxiters times
      mad:low=3,high=3,maxiters=none
          the same by the plain median absolute deviation
      winsorized:low=3,high=3,maxiters=none
          the same by a standard deviation of samples that were pulled in
      noise:low=3,high=3,rdnoise=0,gain=1,snoise=0,center=median,maxiters=none
          the same by the noise of a CCD; low=none rejects cosmic rays alone
      rank:low=3,high=3,rank=-0.5
          once, by the distance of the sample at a rank from the median
      percentile:low=0.2,high=0.1
          once, samples that differ from the median by such a share of it
      esd:outliers=0.3,significance=0.05
          outliers by the generalised ESD test, at most that share
      keep=0 is a field of all but the first two: so many samples survive;
          negative: so many are rejected at most
    """
    from gpustack.engine import stack
    from gpustack.writing import check_target

    check_target(output, overwrite)
    _check_apart(frames, output)
    roles: tuple[Role, ...] = ("scale", "zero", "weights")
    placed = place({role: options[role] for role in roles}, region, reference)
    options.update({str(role): value for role, value in placed.items()})
    options["flags"] = Flags(bad=bad_bits, good=good_bits)
    start = time.perf_counter()
    with progress_bar(sys.stderr) as progress:
        result = stack(frames, outputs=("uncertainty", "rejected"), progress=progress, **options)
    result.write(output, overwrite=overwrite)
    if sys.stderr.isatty():
        click.echo(summary(result, output, time.perf_counter() - start), err=True)


def _check_apart(frames: Iterable[str], output: Path) -> None:
    """Run twice on ``*.fits``, the result would be combined into itself."""
    if not output.exists():
        return
    for item in frames:
        for path in map(Path, {item, *glob.glob(item, recursive=True)}):  # noqa: PTH207 - roots
            if path.exists() and path.samefile(output):
                raise FrameError(str(path), "expected a frame to combine, got the output")


def summary(result: Any, output: Path, seconds: float) -> str:
    """One line on what was done."""
    n = len(result.frames)
    size = " x ".join(map(str, result.data.shape))
    rate = n * result.data.size / seconds / 1e6
    lost = 100 * float(result.frames["rejected"].mean())
    return (
        f"{output}: {n} frame{'s' if n > 1 else ''} of {size}, {result.recipe}; "
        f"{lost:.2g}% of samples rejected; {seconds:.1f} s, {rate:.0f} Mpx/s"
    )


@contextmanager
def progress_bar(stream: TextIO) -> Iterator[Callable[[int, int], None] | None]:
    """A callable (done, total) that draws a bar on a terminal; None elsewhere."""
    if not stream.isatty():
        yield None
        return
    with ExitStack() as shown:
        bar: Any = None

        def progress(done: int, total: int) -> None:
            nonlocal bar
            if bar is None:
                bar = shown.enter_context(
                    click.progressbar(length=total, label="stacking", file=stream)
                )
            bar.update(done - bar.pos)
            if done == total:
                shown.close()  # what is said after it starts on a line of its own

        yield progress


@cli.command()
def info() -> None:
    """Say which backends work here, and where one does not, why."""
    from importlib.metadata import version

    from gpustack import backends

    click.echo(f"gpustack {__version__}")
    for backend in backends.report():
        state = "works" if backend.usable else "not here"
        click.echo(f"  {backend.name:<5} {state:<9} {backend.detail}")
    names = ("numpy", "astropy", "reproject")
    click.echo("with " + ", ".join(f"{name} {version(name)}" for name in names))


@cli.command(short_help="Simulate exposures, stack them, check the result.")
@click.option(
    "-o",
    "--out",
    default="demo",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Folder to write in.",
)
@click.option(
    "--frames", default=20, show_default=True, type=click.IntRange(8, 1000), help="Exposures."
)
@click.option(
    "--size",
    default=1024,
    show_default=True,
    type=click.IntRange(128, 4096),
    help="Pixels a side.",
)
@click.option("--seed", default=1, show_default=True, help="Same seed, same exposures.")
def demo(out: Path, frames: int, size: int, seed: int) -> None:
    """Simulate dithered exposures, stack them, check the result and show it."""
    from gpustack.demo import run

    if not run(out, frames=frames, size=size, seed=seed, echo=click.echo):
        raise SystemExit(1)


def main() -> None:
    """Run the command line; errors become one line and an exit code."""
    signal.signal(signal.SIGTERM, _terminate)
    logging.disable(logging.INFO)  # astropy logs to stdout, which is for results
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            cli.main(prog_name="gpustack", standalone_mode=False)
        except click.ClickException as err:
            err.show()
            sys.exit(err.exit_code)
        except (click.Abort, KeyboardInterrupt):
            click.echo("gpustack: interrupted", err=True)
            sys.exit(128 + signal.SIGINT)
        except GpustackError as err:
            click.echo(f"gpustack: {err}", err=True)
            sys.exit(NO_BACKEND if isinstance(err, BackendError) else BAD_INPUT)


def _terminate(number: int, frame: Any) -> None:
    """Leave by way of the clean-up that an exception gets."""
    sys.exit(128 + number)


def _show_warning(message: Warning | str, *where: Any, **more: Any) -> None:
    click.echo(f"gpustack: warning: {message}", err=True)


if __name__ == "__main__":
    main()
