"""The commands of the command line."""

import sys
import time
from pathlib import Path
from typing import Any

import click

from gpustack.cli.exit_codes import DIFFERS, MACHINE_WORDS
from gpustack.cli.extras import Extras, Restack, client_of
from gpustack.cli.files import (
    alignment_and_number_files,
    arrivals_keywords,
    check_not_overwritten,
    lists_among,
    paired_frames,
)
from gpustack.cli.options import (
    cluster_option,
    keywords,
    maps_option,
    recipe_options,
    run_options,
)
from gpustack.cli.parameter_types import Seconds, WholeNumber
from gpustack.cli.process import load_fits
from gpustack.cli.shown import (
    loudness_options,
    print_summary,
    progress_bar,
    say,
    show_version,
    summary,
)
from gpustack.files.paths import at_home
from gpustack.images import PLANES


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=show_version,
    help="Show the versions of gpustack and Python, and the folder, and exit.",
)
def cli() -> None:
    """Combine astronomical images: each pixel right, and fast.

    \b
    Start here:
      gpustack demo                   simulate exposures, stack them, show what it did
      gpustack info                   what works on this machine
      gpustack combine --help         every option
      gpustack explain --help         why a pixel has its value
      gpustack replay --help          make a result again from its report
      gpustack watch --help           stack a folder as frames arrive
    """


@cli.command(
    short_help="Combine FITS files into one image.",
    epilog=f"Exit codes: 0 done, 2 bad input, {MACHINE_WORDS}, cluster.",
)
@click.argument("frames", nargs=-1, required=True, metavar="FRAMES...")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="The file to write: .fits, .fit or .fts, also followed by .gz.",
)
@recipe_options
@run_options
@maps_option
@click.option(
    "--preview",
    metavar="FILE.png",
    type=click.Path(path_type=Path),
    help="Draw the stack beside the plain mean, the count and the rejections. Needs the extra "
    "gpustack[plot].",
)
@click.option(
    "--report",
    "reports",
    multiple=True,
    metavar="FILE.html|FILE.json",
    type=click.Path(path_type=Path),
    help="html: a page with the recipe, pictures, frames, noise and times; needs gpustack[plot].  "
    "json: how the result was made and from what, with the SHA-256 of all that is read, which is "
    "read once more for it; `gpustack replay` makes the result again.  Repeat for both.",
)
@cluster_option
@click.option("--overwrite", is_flag=True, help="Replace output, reports, preview if they exist.")
def combine(
    frames: tuple[str, ...],
    output: Path,
    preview: Path | None,
    reports: tuple[Path, ...],
    overwrite: bool,
    maps: list[str],
    dask: str | None,
    **options: Any,
) -> None:
    """Combine FRAMES into one image: FITS files (also .gz and .fz), quoted globs, or @FILE.

    @FILE is a list of names or globs, one per line, as in IRAF. 'FILE[SCI,2]' is one image of
    a file, 'FILE[*]' all of its images, such as the chips of a mosaic camera.
    Samples marked in the MASK, DQ or BPM extension of a file are not used; masks and weights
    may also be in separate files, see --masks.
    The output contains the image, MASK and UNCERT extensions that astropy's CCDData reads,
    and the maps given by --maps. Its header says how it was made.

    \b
    Examples:
      gpustack combine bias*.fits -o bias.fits --combine median --unit adu
      gpustack combine flat*.fits -o flat.fits --scale median --clip sigma:low=3,high=3
      gpustack combine night/*.fits.gz -o sky.fits --clip range:high=60000 --clip sigma
      gpustack combine sky*.fits -o sky.fits --clip sigma --clip grow --maps count,reason
      gpustack combine night/*.fits -o deep.fits --align wcs --clip sigma --report deep.html
      gpustack combine c4d*ooi*.fits.fz -o deep.fits --masks ooi:ood --weight-maps ooi:oow \\
          --weights variance --uncertainty propagated --align wcs --unit adu \\
          --scale exposure --zero overlap
    """
    load_fits()
    from gpustack.engine import stack
    from gpustack.streaming import ToFile
    from gpustack.writing import check_target

    output = Path(at_home(output))
    check_target(output, overwrite)
    extras = Extras(preview, reports, overwrite, dask)
    lists = lists_among(frames, options)
    given = paired_frames(frames, options)
    words = keywords(options)
    check_not_overwritten(words, output, lists)
    to = ToFile(output, maps, overwrite, options["uncertainty"] != "none")
    start = time.perf_counter()
    words |= {"outputs": to, **extras.wanted}
    with client_of(dask) as client, progress_bar(sys.stderr) as progress:
        result = stack(given, client=client, progress=progress, **words)
    extras.write(result, output)
    print_summary(result, output, time.perf_counter() - start)


@cli.command(
    short_help="Show what became of each sample of one pixel.",
    epilog="Exit codes: 0 done, 2 bad input, 3 not possible on this machine: memory, missing "
    "package.",
)
@click.argument("x", type=WholeNumber(min=1), metavar="X")
@click.argument("y", type=WholeNumber(min=1), metavar="Y")
@click.argument("frames", nargs=-1, required=True, metavar="FRAMES...")
@recipe_options
def explain(x: int, y: int, frames: tuple[str, ...], **options: Any) -> None:
    """Show why pixel X, Y of the combined FRAMES has its value.

    Pixels count from 1, x first, as in FITS, IRAF and ds9. Give the same options as for
    combine, except those for output. The command shows each frame's sample, which clip rejected
    it in which pass and by which bound, and the result. It reads one row of each frame, with a
    grow clip those within its radius, and whole frames to measure scale, zero or weights.

    \b
    Examples:
      gpustack explain 512 384 flat*.fits --scale median --clip sigma:low=3,high=3
      gpustack explain 101 7 night/*.fits.gz --clip range:high=60000 --clip sigma | less -S
    """
    load_fits()
    from gpustack.explanation import explain as explain_pixel

    # FITS counts from 1, Python from 0.
    given = paired_frames(frames, options)
    click.echo(explain_pixel(given, x - 1, y - 1, **keywords(options)))


@cli.command(
    short_help="Make a result again from its report.",
    epilog="Exit codes: 0 the same data, 1 an input or the result differs, 2 bad input, "
    f"{MACHINE_WORDS}.",
)
@click.argument("report", type=click.Path(path_type=Path), metavar="REPORT")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="The file to write.  [default: the output that REPORT names]",
)
@click.option("--overwrite", is_flag=True, help="Replace the output if it exists.")
@loudness_options
def replay(report: Path, output: Path | None, overwrite: bool) -> None:
    """Make the same file again from REPORT, which combine --report wrote.

    Input files are looked for where they were, then by the path that was given, in the folder of
    the report and in the current one. Each file that is missing or has other data is named, and
    then nothing is written. Numbers and DATE come from the report and are not measured again: with
    the same versions of all software, the file is the same to the last byte.

    \b
    Examples:
      gpustack combine night/*.fits -o deep.fits --scale median --clip sigma --report deep.json
      gpustack replay deep.json -o again.fits && cmp deep.fits again.fits
    """
    load_fits()
    from gpustack.replay import replay as make_again

    with progress_bar(sys.stderr) as progress:
        done = make_again(report, output, overwrite=overwrite, progress=progress)
    for line in done.notes:
        say(f"gpustack: note: {line}")
    for line in done.differences:
        say(f"gpustack: {line}")
    if not done.verdict:
        say(f"gpustack: {done.output}: not made, as the inputs differ")
    if done.differences:
        raise SystemExit(DIFFERS)
    click.echo(f"{done.output}: {done.verdict}")


@cli.command(
    short_help="Stack the frames in a folder anew as they arrive.",
    epilog="Exit codes: 0 stopped by Ctrl-C or --stop-after, 2 bad input, or no result was ever "
    f"made, {MACHINE_WORDS}.",
)
@click.argument("folder", type=click.Path(path_type=Path), metavar="FOLDER")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="The file to write, and to write again: .fits, .fit or .fts, also followed by .gz.",
)
@recipe_options
@run_options
@maps_option
@click.option(
    "--pattern",
    default="*.f[it][ts]*",
    show_default=True,
    help="Names of the files that are frames; case does not matter.",
)
@click.option(
    "--interval",
    default=1.0,
    show_default=True,
    type=Seconds(),
    help="Seconds between two looks at the folder.",
)
@click.option(
    "--stop-after",
    type=WholeNumber(min=1),
    help="Stop after combining, or trying to combine, at least this many readable frames.",
)
@click.option(
    "--overwrite",
    is_flag=True,
    help="Replace the output if it exists at the start. Frames are never replaced.",
)
def watch(
    folder: Path,
    output: Path,
    pattern: str,
    interval: float,
    stop_after: int | None,
    overwrite: bool,
    maps: list[str],
    **options: Any,
) -> None:
    """Stack the frames in FOLDER as they arrive, each time with the same result as combine.

    Once new files have stopped growing, all frames are combined again, so clips and medians are
    exact. The output is replaced in one step: its readers see the last result or the new one.
    Stop with Ctrl-C.

    \b
    Example:
      gpustack watch tonight -o deep.fits --clip sigma --align register
    """
    load_fits()
    from gpustack.engine import stack
    from gpustack.live import watching
    from gpustack.live.input_files import ReadsOf
    from gpustack.streaming import ToFile
    from gpustack.writing import check_target

    output = Path(at_home(output))
    check_target(output, overwrite)
    to = ToFile(output, maps, True, options["uncertainty"] != "none")
    words = keywords({name: value for name, value in options.items() if name not in PLANES})
    check_not_overwritten(words, output, lists_among((), options))

    def pair(frames: list[str]) -> Any:
        return paired_frames(tuple(frames), dict(options))

    def make(frames: list[str]) -> str:
        start = time.perf_counter()
        result = stack(pair(frames), outputs=to, **words)
        return summary(result, output, time.perf_counter() - start)

    restack = Restack(make)
    known = arrivals_keywords(words, options)
    arrivals = watching.Arrivals(Path(at_home(folder)), pattern, output, **known)
    reads_of = ReadsOf(pair, [file for file, _ in alignment_and_number_files(words)], arrivals.card)
    try:
        watching.watch(arrivals, restack, reads_of, interval=interval, stop_after=stop_after)
    except KeyboardInterrupt:
        say("gpustack: stopped")
    restack.check(output, arrivals.refused)


@cli.command()
def info() -> None:
    """Show which backends work here, or why not, and describe the machine and packages.

    Include this in a bug report. The home folder is shown as ~.
    """
    from gpustack import backends
    from gpustack.cli import about

    click.echo(about.headline())
    for backend in backends.report():
        state = "works" if backend.usable else "not here"
        click.echo(f"  {backend.name:<5} {state:<9} {about.without_home(backend.detail)}")
    parts = {"machine": about.machine(), "packages": about.packages()}
    for title, rows in (parts | {"environment": about.environment()}).items():
        click.echo(title if rows else f"{title}: no relevant variable is set")
        for name, value in rows:
            click.echo(f"  {name:<22} {value}")


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
    "--frames",
    default=20,
    show_default=True,
    type=WholeNumber(8, 1000),
    help="Number of exposures.",
)
@click.option(
    "--size",
    default=1024,
    show_default=True,
    type=WholeNumber(128, 4096),
    help="Pixels per side.",
)
@click.option(
    "--seed",
    default=1,
    show_default=True,
    type=WholeNumber(min=0),
    help="Same seed, same exposures.",
)
def demo(out: Path, frames: int, size: int, seed: int) -> None:
    """Simulate dithered exposures, stack them, check the result and show it."""
    from gpustack.demo import run

    if not run(out, frames=frames, size=size, seed=seed, echo=click.echo):
        raise SystemExit(DIFFERS)
