"""The engine: runs a recipe on frames, band by band through a backend, and returns the result."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from gpustack.advice import warn_of
from gpustack.align.base import GridFrame
from gpustack.alignments import Alignment, as_alignment
from gpustack.backends.base import Progress
from gpustack.checks import boolean
from gpustack.clips import Clip
from gpustack.combines import Combine
from gpustack.errors import InputError
from gpustack.files import HduKey, alignment_and_number_files, check_not_overwritten
from gpustack.flags import Flags
from gpustack.frames import Frame, describe_separate_planes
from gpustack.frames.onfile import kept_open
from gpustack.frames.resident import reshaped
from gpustack.kept_samples import Look
from gpustack.maker import LocalMaker, Maker
from gpustack.maps import derived, least_memory
from gpustack.normalize import PerFrame
from gpustack.plan import parse_memory
from gpustack.progress import progress_callback
from gpustack.provenance import Watch, hashed, made_with, output_record, report_of
from gpustack.recipe import OUTPUTS, Recipe, Uncertainty
from gpustack.result import StackResult, per_frame
from gpustack.run.arguments import fill_in
from gpustack.run.io import outputs_of, rejected_share, source_of
from gpustack.run.limit import counting_held, limit_of, within_memory
from gpustack.run.outcome import header_of, result_of
from gpustack.run.requirements import check_needs, exposures
from gpustack.streaming import ResultFile, ToFile, files_read, result_file, room_of, split_outputs


def stack(
    frames: Any,
    clips: Clip | str | Iterable[Clip | str] | Recipe = (),
    combine: Combine | str = "mean",
    *,
    scale: PerFrame = None,
    zero: PerFrame = None,
    weights: PerFrame = None,
    clip_on: Literal["normalized", "raw"] = "normalized",
    uncertainty: Uncertainty = "auto",
    dtype: DTypeLike | None = None,
    outputs: Sequence[str] | ToFile = OUTPUTS,
    hdu: HduKey | None = None,
    unit: Any = None,
    flags: Flags | None = None,
    align: Alignment | str | None = None,
    backend: str = "auto",
    memory: float | str | None = None,
    device_memory: float | str | None = None,
    client: Any = None,
    progress: Progress | bool | None = None,
    report: bool = False,
    look: bool = False,
) -> StackResult:
    """Combine frames of the same field into one image.

    At every pixel: leave out masked samples and those that are not finite; normalise,
    ``x = (d - zero) * scale``; apply the clips in order, each to the survivors of the
    one before; combine the survivors.

    Parameters
    ----------
    frames : path, glob, "@FILE", Image, CCDData, array, or an iterable of them
        FITS files (plain, .gz or tile-compressed); a file that lists their names, one per line;
        ``"FILE[SCI,2]"`` for one image of a file, ``"FILE[*]"`` for all of its images; `Image`
        where masks, weights or variances lie in files of their own; `~astropy.nddata.CCDData`; or
        numpy arrays. All have one unit and, unless `align` is given, one shape. An array alone is
        (frame, y, x). Or cupy arrays, all on one device: they stay there, and the result consists
        of cupy arrays.
    clips : clip, iterable of clips, or Recipe
        Such as `RangeClip`, `ExtremaClip`, `SigmaClip`; see `gpustack.clips`. A recipe, such as
        that of an earlier result, replaces all parameters up to `outputs`. These must then be left
        out, except a `ToFile`, and an array of weights for a recipe with one weight per sample.
    combine : word, NoiseModel or its text
        ``"mean"``, ``"median"``, ``"lower_median"``, ``"lmedian"``, ``"sum"``,
        ``"quadrature"``, ``"min"``, ``"max"``, ``"nmodel:rdnoise=5,gain=2"``; see `Recipe`.
    scale, zero : sequence of float, measure, its text, callable, or None
        One number per frame. A measure says where the numbers come from: a statistic, such as
        ``"median"`` or `Statistic`, which brings each frame to the first; ``"exposure"``,
        ``"!KEYWORD"`` or ``"@FILE"``; for a zero also ``"overlap"``. A callable takes each frame
        as a masked array and returns its number. Statistics, overlaps and callables read
        the frames once more, and hold one of them, or some of its samples, at a time.
    weights : as scale, or ndarray of shape ``(n, *shape)``, with the shape of a frame
        One weight >= 0 per frame or per sample; only for mean, sum, quadrature and noise model.
        Measures as for `scale`, and ``"noise"`` and ``"ncombine"``. A weight of a sample that is
        not finite counts as 0. ``"variance"`` weights each sample by the inverse of its own
        variance in its frame.
    clip_on : {"normalized", "raw"}
        Whether clips see the normalised values or the values in the frames.
    uncertainty : {"auto", "std", "mad_std", "propagated"}
        The spread that the uncertainty is computed from, or ``"propagated"`` from the variances of
        the frames; see `Recipe`.
    dtype : {"float32", "float64"} or None
        The dtype of the result; None is float32 for frames of up to 16 bits or float32, float64
        for wider ones.
    outputs : sequence of str, or ToFile
        What to make beside data and mask: ``"uncertainty", "count", "low", "high", "rejected"``,
        which are the default, and
        ``"reason", "exposure", "rejections", "flags", "sigma", "coverage", "weight"``;
        see `Recipe`. `ToFile` names a file that the result is written to while it is made, within
        the memory limit, however large it is.
    hdu : int, str, (str, int) or None
        Which HDU of a FITS file: its number (negative from the end), EXTNAME, or EXTNAME and
        EXTVER; None is the first image with data.
    unit : unit-like or None
        The unit of the frames, for files without BUNIT and for arrays. It replaces the unit of a
        frame that has one; nothing is converted.
    flags : Flags or None
        Which bits of integer masks make a sample invalid, `Flags(bad=...)` or
        `Flags(good=...)`; None: any value but 0 does.
    align : alignment, its text, or None
        How frames on different pixel grids are brought onto one, band by band as they are read;
        see `gpustack.align`. None: all frames must have one shape.
    backend : {"auto", "cpu", "cuda"}
        ``"auto"`` takes CUDA where it can be used; the log says what it took.
    memory : number of bytes, text such as ``"2GB"``, or None
        Limit on all that is held at once, except the arrays of the result, if it has any, and
        some 70 bytes per pixel of a frame while `Register` measures; see docs/memory.md. None is
        512 MiB, or four rows of all frames where these take more.
    device_memory : number of bytes, text, or None
        Limit on the memory used on each CUDA device; None is the environment variable
        GPUSTACK_DEVICE_MEMORY, and without it, most of what is free.
    client : distributed.Client or None
        The cluster whose workers make the result, the same to the last bit; `memory` and
        `device_memory` are then those of each worker too. Frames are files that every worker can
        read, or a `dask.array.Array` (frame, y, x); see docs/scaling.md.
    progress : callable, bool or None
        Called with (rows done, rows in all) after each band. True: a bar, on a terminal and in a
        notebook.
    report : bool
        Make `StackResult.report`, which says how the result was made and from what. It contains
        hashes of all that is read of the frames, for which the frames are read once more.
    look : bool
        Keep some of the samples that are read, for `write_preview` and `write_page`; at most an
        eighth of the limit on memory.

    Returns
    -------
    StackResult
        Its images are numpy arrays, or cupy arrays where the frames are. With `ToFile` they lie in
        the file, and are read by indexing, ``np.asarray`` and `to_host`.

    Raises
    ------
    InputError
        Where frames, recipe or limits are unusable; the message names the frame.
    BackendError
        Where `backend` was asked for by name and cannot work here.
    ClusterError
        Where the cluster of `client` was lost, or cannot be used.
    MissingPackageError
        Where an alignment needs a package that is not installed.
    OutOfMemoryError
        Where there is less memory than the limit allows to use.
    OutputError
        Where the file of `ToFile` exists, or cannot be written; nothing is left behind.

    Examples
    --------
    >>> import numpy as np
    >>> from gpustack import SigmaClip, stack
    >>> cube = np.full((5, 2, 2), 10.0)
    >>> cube[:, 0, 0] = 9, 11, 10, 10, 500
    >>> result = stack(cube, SigmaClip(spread="mad_std"))
    >>> float(result.data[0, 0]), int(result.high[0, 0])
    (10.0, 1)
    """
    report, look = boolean("report", report), boolean("look", look)
    callback = progress_callback(progress)
    watch, align = Watch([] if report or look else None), as_alignment(align)
    to, wanted = split_outputs(
        outputs, OUTPUTS if isinstance(clips, Recipe) else None, report or look
    )
    maker = LocalMaker() if client is None else _cluster(client, memory)
    with watch("open"):
        opened = maker.open(frames, hdu=hdu, unit=unit, flags=flags)
        if to is not None:
            numbers = {"scale": scale, "zero": zero, "weights": weights}
            others = alignment_and_number_files(align, numbers)
            check_not_overwritten(Path(to.path), (*files_read(opened), *others))
        maker.check_supported(weights, report, look)
    with kept_open():
        with watch("open" if align is None else "align"):
            aligned = maker.align_frames(opened, align, max_bytes=room_of(to))
        with watch("measure"):
            recipe, origins, per_sample = fill_in(
                aligned.frames,
                clips,
                combine,
                scale=scale,
                zero=zero,
                weights=weights,
                clip_on=clip_on,
                uncertainty=uncertainty,
                dtype=dtype,
                outputs=wanted,
                survey=maker.survey,
            )
        if flags is not None and flags.given:
            origins.append(f"flags: {flags}, bits of masks")
        origins = [*describe_separate_planes(opened), *aligned.origins, *origins]
        with watch("hash"):
            hashes = hashed(opened, recipe.needs_variance) if report else []
        result = run(
            aligned.frames,
            recipe,
            origins=origins,
            weights=per_sample,
            backend=backend,
            memory=memory,
            device_memory=device_memory,
            progress=callback,
            watch=watch,
            columns=aligned.columns,
            to=to,
            look=look,
            maker=maker,
        )
    warn_of(result, aligned.frames)
    if not report:
        return result
    given = {"hdu": hdu, "unit": unit, "flags": flags, "align": align}
    given |= {"backend": backend, "memory": memory, "device_memory": device_memory}
    told = report_of(
        result, hashes, aligned, watch, origins=origins, given=given, weights=per_sample
    )
    if to is not None:
        told["output"] = output_record(to.path, to.maps)
    return replace(result, report=told)


def run(
    frames: Sequence[Frame],
    recipe: Recipe,
    *,
    weights: NDArray[Any] | None = None,
    backend: str = "auto",
    memory: float | str | None = None,
    device_memory: float | str | None = None,
    progress: Progress | None = None,
    reasons: bool = False,
    working: DTypeLike = np.float32,
    origins: Sequence[str] = (),
    date: str | None = None,
    watch: Watch | None = None,
    columns: Mapping[str, Any] | None = None,
    to: ToFile | None = None,
    look: bool = False,
    maker: Maker | None = None,
    with_header: bool = True,
) -> StackResult:
    """Run a recipe, in which all numbers are filled in, on frames that agree.

    Parameters
    ----------
    frames : sequence of Frame
    recipe : Recipe
    weights : ndarray, shape (n, *shape of a frame), or None
        Where the weights of the recipe are ``"sample"``.
    backend, memory, device_memory, progress
        As in `stack`.
    reasons : bool
        Make `StackResult.reasons`, which say why each sample is rejected or invalid.
    working : dtype
        Samples are compared and sorted in the widest of this and the frames' own dtypes.
    origins : sequence of str
        In words, where the numbers of the recipe come from; for the header.
    date : str or None
        DATE of the header; None is now.
    watch : Watch or None
        Records which backend runs, and how long each stage takes.
    columns : mapping or None
        More columns of `StackResult.frames`.
    to : ToFile or None
        The file that the result is written to while it is made.
    look : bool
        As in `stack`; `watch` must record the times of reads.
    maker : Maker or None
        What runs the recipe; it must have opened the frames. None is this process.
    with_header : bool
        Whether the result needs a header, which takes half of the time for small images.

    Raises
    ------
    MemoryLimitError
        Where not even one row of all frames fits in `memory`, with the buffers for it.
    FrameError
        Where the recipe needs variances and a frame has none.
    InputError
        Where the recipe does not fit the number of frames, or needs flags and no frame has any;
        where `to` is given for cupy arrays.
    OutOfMemoryError
        Where there is less memory than the limit allows to use.
    OutputError
        Where the file of `to` exists, or cannot be written.
    """
    recipe.check_frames(len(frames))
    watch = Watch() if watch is None else watch
    dtype = np.result_type(working, *(frame.dtype for frame in frames))
    flat = None if weights is None else reshaped(weights, len(frames), -1, frames[0].shape[-1])
    check_needs(frames, recipe)
    source = source_of(frames, recipe, dtype, flat, watch.reads)
    seen = None
    if look:
        seen = Look.at(source, recipe, parse_memory(memory), watch, origins)
        source = replace(source, look=seen)  # type: ignore[call-arg]
    if to is not None and source.resident:
        raise InputError(
            f"{to.path}: expected files or numpy arrays as frames with ToFile, got cupy arrays"
        )
    maker = LocalMaker() if maker is None else maker
    watch.backend, watch.device = maker.choose_backend(backend, device_memory, source.resident)
    if not maker.reads_here:
        watch.reads = None
    header = None
    if with_header:  # first, so that a fault in it is found before the work
        header = header_of(frames, recipe, [made_with(watch), *origins], date)

    def compute(file: ResultFile | None) -> StackResult:
        sinks = None if file is None else file.sink
        out = outputs_of(recipe, source, reasons, sinks)
        assert out.data is not None
        maps = derived(recipe, source, out.data.dtype, exposures(frames, recipe), sinks)
        result, made = result_of(frames, recipe, out, maps, header), list(maps.values())
        if file is not None:
            result = file.lay_out(result)
        kept = sum(frame.kept_bytes for frame in frames if isinstance(frame, GridFrame))
        limit = limit_of(memory, source, least_memory(source, recipe, out, made), kept)
        pictured = 0 if seen is None else seen.nbytes
        with watch("stream"), counting_held(kept, pictured):
            ran = maker.execute(source, recipe, out, made, limit - pictured, progress)
        if seen is not None:
            seen.recipe = ran
        names, samples = [frame.name for frame in frames], result.data.size
        made_of = per_frame(names, recipe, samples, out.valid, out.rejected)
        share = rejected_share(out)
        return replace(result, per_frame={**made_of, **(columns or {})}, rejected=share)

    with kept_open(), result_file(to) as file:
        result = within_memory(partial(compute, file))
        if file is not None:
            with watch("write"):
                file.finish(result)
    return replace(result, look=seen)


def _cluster(client: Any, memory: float | str | None) -> Maker:
    """The maker for a cluster; imported on demand, so that runs without a client start sooner."""
    from gpustack.cluster import Cluster

    return Cluster(client, memory)
