"""The options that commands of the command line share."""

import inspect
from collections.abc import Callable
from dataclasses import replace
from functools import partial, reduce
from operator import or_
from typing import Any, get_args

import click

from gpustack.alignments import as_alignment
from gpustack.checks import check
from gpustack.cli.parameter_types import Numbers, Parsed, Word, hdu_key, number_or_name
from gpustack.cli.shown import loudness_options
from gpustack.clips import parse_clip
from gpustack.combines import METHODS, as_combine
from gpustack.flags import Flags, parse_bits
from gpustack.measures import Role, with_region_and_reference
from gpustack.recipe import Uncertainty

#: The end of the help of each command that has the options of `recipe_options`.
HELP = """\
\b
Ways to combine, besides mean, sum, min and max:
  median, lower_median, lmedian
      of two middle samples: their mean; the lower one; their mean, but (as
      IRAF) the lower one where there are only two samples
  quadrature
      sqrt(sum x^2) / n: of sigma images, the sigma of the mean
  nmodel:rdnoise=0,gain=1,snoise=0
      the same, of the noise that a CCD has at the samples' values

\b
Scale, zero and weights, besides numbers:
  median, mean, mode   of each frame, which is brought to that of the first
  mad                  scale: the spread; with --zero median, spread and level
  exposure             scale and weights: EXPTIME; exposure:key=ITIME
  overlap              zero: from where frames overlap, for mosaics
  noise, ncombine      weights: inverse variance of the noise; NCOMBINE
  variance             weights: of each sample, the inverse of its variance in
                       its frame (UNCERT, VAR, ERR)
  !KEYWORD, @FILE      numbers from the headers; from a file, one per line

\b
Masks, weight maps and variance maps in files of their own:
  FILES      one for all frames; or as many as frames, in the same order:
             repeat the option, or quote a glob
  OLD:NEW    replaces a part of each frame's name: ooi:ood
  !KEYWORD   the header keyword that names the file: !BPM
  FILE[HDU]  takes another HDU than that with the EXTNAME of the frame

\b
Alignments, each with its defaults:
  wcs:target=first,extent=target,shape=none,scale=none,method=interp,order=bilinear,flux=ratio
      resample by the coordinates in the headers, onto the grid of the first
      frame, of a file (target=FILE), or around all frames (target=optimal)
  offsets:source=wcs,extent=union
      move by whole pixels, without resampling, by the coordinates in the
      headers, two keywords (!XKEY/YKEY), a file (@FILE, a line "x y" per frame)
      or [(y,x),(y,x)]; onto the pixels that any frame has (union), that all
      have (intersection), of the first (reference) or [X1:X2,Y1:Y2] of it
  register:by=phase,reference=0,upsample=100,order=bilinear,extent=reference,flux=ratio
      measure on the frames a shift (phase; upsample=1 for whole pixels), or
      rotation and scale too (stars)

\b
Clips, each with its defaults:
  range:low=none,high=none
      samples below low or above high, before --scale and --zero
  extrema:nlow=1,nhigh=1,among=valid
      the nlow lowest and nhigh highest samples of a pixel
  sigma:low=3,high=3,center=median,spread=std,maxiters=none,ddof=0,about=mean,poisson=false
      samples further than low or high spreads (std or mad_std) from the
      center (median, mean or trimmed_mean), until nothing changes or
      maxiters times
  mad:low=3,high=3,maxiters=none
      the same by the plain median absolute deviation
  winsorized:low=3,high=3,maxiters=none
      the same by the standard deviation of winsorized samples
  noise:low=3,high=3,rdnoise=0,gain=1,snoise=0,center=median,maxiters=none
      the same by the noise of a CCD, also by keywords (gain=!GAIN); low=none
      rejects only cosmic rays
  variance:low=3,high=3,center=median,maxiters=none
      the same by the variances that come with the frames (UNCERT, VAR, ERR)
  avgsigma:low=3,high=3,center=median,maxiters=none
      the same by the noise averaged over a row, which grows as the root of
      the level
  linear:low=5,high=5,maxiters=none
      samples too far from a straight line through the sorted samples
  rank:low=3,high=3,rank=-0.5
      once, by the distance from the median to the sample at a rank
  percentile:low=0.2,high=0.1
      once, samples that differ from the median by more than a share of it
  esd:outliers=0.3,significance=0.05
      outliers by the generalised ESD test, at most a share of the samples
  grow:radius=1
      last: samples within a radius, in their frame, of a rejected one
  sigmamedian:low=3,high=3,maxiters=none
      last, for a mean: replaces samples further than low or high standard
      deviations from the median by the median
  keep=0 is a field of sigma to esd: at least so many samples survive;
      negative: at most so many are rejected
"""


COMBINE = Parsed("|".join(METHODS), as_combine)
CLIP = Parsed("NAME:field=value,...", parse_clip)
REFERENCE = Parsed("N|mean", number_or_name)
HDU = Parsed("number|name|name,version", hdu_key)
ALIGN = Parsed("NAME:field=value,...", as_alignment)
FILES = "FILES|OLD:NEW|!KEYWORD"
BITS = Parsed("N,N,...", partial(parse_bits, "bits"))


def _all_bits(ctx: Any, param: Any, given: tuple[int, ...]) -> int | None:
    """The bits of all uses of an option together; None without any."""
    return reduce(or_, given) if given else None


_OPTIONS = (
    click.option(
        "--combine",
        type=COMBINE,
        default="mean",
        show_default=True,
        metavar=COMBINE.name,
        help="How the surviving samples of a pixel are combined, see above.",
    ),
    click.option(
        "--clip",
        "clips",
        multiple=True,
        type=CLIP,
        metavar=CLIP.name,
        help="Reject outliers, see above. Repeat for several clips, which are applied in order.",
    ),
    click.option(
        "--scale",
        type=Numbers("scale"),
        metavar=Numbers("scale").name,
        help="Factors, one per frame, or where to take them from, see above.",
    ),
    click.option(
        "--zero",
        type=Numbers("zero"),
        metavar=Numbers("zero").name,
        help="Subtracted before scaling: numbers, one per frame, or where to take them from.",
    ),
    click.option(
        "--weights",
        type=Numbers("weights"),
        metavar=Numbers("weights").name,
        help="Weights >= 0, one per frame, or where to take them from. Not for medians, min, max.",
    ),
    click.option(
        "--uncertainty",
        type=Word((*get_args(Uncertainty), "none")),
        default="auto",
        show_default=True,
        help="How UNCERT is computed: from the spread of the samples, standard deviation (std) or "
        "1.4826 MAD (mad_std; auto takes it for medians); or propagated from the variances of the "
        "frames (UNCERT, VAR, ERR). none leaves UNCERT out, which is faster and halves the file.",
    ),
    click.option(
        "--region",
        metavar="[X1:X2,Y1:Y2]",
        help="Where statistics and noise are measured; pixels count from 1.  [default: everywhere]",
    ),
    click.option(
        "--reference",
        type=REFERENCE,
        metavar=REFERENCE.name,
        help="The frame that --scale and --zero bring the others to, counted from 0, or the mean "
        "of all.  "
        "[default: the first]",
    ),
    click.option(
        "--hdu",
        type=HDU,
        metavar=HDU.name,
        help="HDU of the files whose names have none: 0 is the primary, -1 the last.  "
        "[default: first image with data]",
    ),
    click.option(
        "--unit",
        help="Unit of the frames, in place of BUNIT: adu, electron, ... Nothing is converted.",
    ),
    click.option(
        "--bad-bits",
        type=BITS,
        multiple=True,
        callback=_all_bits,
        metavar=BITS.name,
        help="Values of the bits of integer masks that make a sample invalid: 4,8 or 12 or 0xc.  "
        "[default: all]",
    ),
    click.option(
        "--good-bits",
        type=BITS,
        multiple=True,
        callback=_all_bits,
        metavar=BITS.name,
        help="Instead of --bad-bits: the bits that do not make a sample invalid; all others do.",
    ),
    click.option(
        "--masks",
        "mask",
        multiple=True,
        metavar=FILES,
        help="Files of integers; any value but 0 makes a sample invalid, see above.",
    ),
    click.option(
        "--weight-maps",
        "weight",
        multiple=True,
        metavar=FILES,
        help="Files of inverse variances; a sample whose weight is not positive is invalid. "
        "--weights variance uses them as weights.",
    ),
    click.option(
        "--variance-maps",
        "variance",
        multiple=True,
        metavar=FILES,
        help="Files of variances, instead of --weight-maps.",
    ),
    click.option(
        "--align",
        type=ALIGN,
        metavar=ALIGN.name,
        help="Bring the frames onto one pixel grid first, see above.",
    ),
    click.option(
        "--skip-unaligned",
        is_flag=True,
        help="Leave out frames that cannot be aligned; --maps frames lists them.",
    ),
    click.option(
        "--dtype",
        type=click.Choice(["float32", "float64"]),
        help="Type of the result.  [default: float32; float64 if the frames are wider]",
    ),
)


def recipe_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say what is done to the frames, and their explanation, to a command.

    `keywords` converts their values to keywords of `gpustack.stack`.
    """
    command.__doc__ = f"{inspect.getdoc(command)}\n\n{HELP}"
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


_RUN_OPTIONS = (
    click.option(
        "--backend",
        type=Word(["auto", "cpu", "cuda"]),
        default="auto",
        show_default=True,
        help="Where to compute; auto takes CUDA if it can be used, else the CPU.",
    ),
    click.option(
        "--memory",
        metavar="bytes",
        help="Limit on all that is held at once: 2GB, 500MiB, ...; --align register takes 70 bytes "
        "per pixel of a frame in addition.  [default: 512MiB]",
    ),
    click.option(
        "--device-memory",
        metavar="bytes",
        help="Limit on the memory taken on each CUDA device.  "
        "[default: GPUSTACK_DEVICE_MEMORY, or 80% of what is free]",
    ),
)


def run_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options for backend, memory limits and verbosity to a command."""
    command = loudness_options(command)
    for option in reversed(_RUN_OPTIONS):
        command = option(command)
    return command


def _all_maps(ctx: Any, param: Any, given: tuple[str, ...]) -> list[str]:
    """The map names in all uses of ``--maps``."""
    return [name.strip() for text in given if text for name in text.split(",")]


maps_option = click.option(
    "--maps",
    multiple=True,
    callback=_all_maps,
    metavar="NAME,NAME,...",
    help="Extensions to add, in one option or several: count, low, high, reason, exposure, "
    "rejections, flags, sigma, coverage, weight, frames.",
)

cluster_option = click.option(
    "--dask",
    metavar="ADDRESS",
    help="Compute on the workers of a dask cluster: tcp://HOST:8786, or the scheduler's file.  "
    "They must be able to read the files by the same names.",
)


def keywords(options: dict[str, Any]) -> dict[str, Any]:
    """The options, but for those that `paired_frames` removes, as keywords of `gpustack.stack`.

    Region and reference become part of the measures, bits part of the flags. Uncertainty "none"
    becomes "auto", as `gpustack.ToFile` is what leaves it out.
    """
    roles: tuple[Role, ...] = ("scale", "zero", "weights")
    words = dict(options)
    if words["uncertainty"] == "none":
        words["uncertainty"] = "auto"
    region, reference = words.pop("region"), words.pop("reference")
    placed = with_region_and_reference({role: words[role] for role in roles}, region, reference)
    flags = Flags(bad=words.pop("bad_bits"), good=words.pop("good_bits"))
    if words.pop("skip_unaligned"):
        words["align"] = _skipping(words["align"])
    return words | {str(role): value for role, value in placed.items()} | {"flags": flags}


def _skipping(alignment: Any) -> Any:
    """A copy of an alignment that leaves out frames that it cannot align."""
    check(alignment is not None, "--skip-unaligned: expected --align, got none")
    return replace(alignment, skip=True)
