"""Models of IRAF 2.17 and Siril 1.0.6 for one column, with the quirks that gpustack avoids.

The models were found by running the programs on columns. They show that a listed difference
has the stated reason. A column is sorted and in float64; a model returns the ranks of the
survivors, or the values that stand in the column at the end.
"""

import math

import numpy as np

from gpustack.clips import ESDClip, LinearFitClip, MADClip, NoiseClip, SigmaClip, WinsorizedClip

#: Siril tests a sample only while it counts more samples than this as left.
SIRIL_LEAST = 4
#: imcombine treats residuals as equal if they differ by less than this, in units of the spread.
IRAF_EQUAL = 0.001


def half_up(values):
    """Values >= 0 rounded as by C's ``round``: halves upwards."""
    return np.floor(np.asarray(values) + 0.5)


def histogram_median(values):
    """The median, interpolated in a histogram of ``n - 1`` bins from the least to the greatest."""
    n, low, high = len(values), values.min(), values.max()
    if low == high:
        return low
    width = (high - low) / (n - 1)
    counts = np.bincount(((values - low) / width * (1 + 1e-12)).astype(int), minlength=n)
    below = 0
    for place, count in enumerate(counts):
        if count and below + count >= n / 2:
            return low + width * (place + (n / 2 - below) / count)
        below += count
    raise AssertionError("half of the counts lie below no bin")


def siril_mad(values, before, whole):
    """The MAD about the median of the previous pass; for floats, from a histogram."""
    if whole:
        return float(np.median(np.abs(values - half_up(before))))
    return float(histogram_median(np.abs(values - before)))


def siril_winsorized(values, before, whole):
    """The winsorized standard deviation; for 16-bit samples, pulled-in values are rounded."""
    middle, spread, pulled = np.median(values), values.std(ddof=1), values
    while True:
        low, high = middle - 1.5 * spread, middle + 1.5 * spread
        ends = half_up([low, high]) if whole else (low, high)
        pulled = np.where(pulled < low, ends[0], np.where(pulled > high, ends[1], pulled))
        last, spread = spread, 1.134 * pulled.std(ddof=1)
        if abs(spread - last) <= 0.0005 * last:
            return spread


def siril_sigma(values, before, whole):
    """The standard deviation about the mean."""
    return values.std(ddof=1)


SIRIL_SPREADS = {
    MADClip: siril_mad,
    WinsorizedClip: siril_winsorized,
    SigmaClip: siril_sigma,
}


def siril_passes(clip, column, whole):
    """Clip in passes about the median; `rejected` counts the samples rejected in all passes."""
    alive, rejected, before = list(range(len(column))), 0, np.median(column)
    while len(alive) > 3:
        values = column[alive]
        middle = np.median(values)
        spread = SIRIL_SPREADS[type(clip)](values, before, whole)
        before, left = middle, []
        for rank, value in zip(alive, values, strict=True):
            far = middle - value > clip.low * spread or value - middle > clip.high * spread
            if far and len(alive) - rejected > SIRIL_LEAST:
                rejected += 1
            else:
                left.append(rank)
        if len(left) == len(alive):
            break
        alive = left
    return alive


def siril_replacing(clip, column, whole):
    """The values of the column at the end; a median may be replaced by a later median."""
    standing = column.copy()
    while True:
        middle, spread = np.median(standing), standing.std(ddof=1)
        far = (middle - standing > clip.low * spread) | (standing - middle > clip.high * spread)
        if not far.any():
            return standing
        standing[far] = np.floor(middle) if whole else middle


def siril_linear(clip, column):
    """Clip about a line that is fitted, in all passes, with the mean and variance of all ranks."""
    places = np.arange(len(column))
    middle, variance = places.mean(), places.var()
    alive, rejected = list(range(len(column))), 0
    while len(alive) > 3:
        values, rank = column[alive], np.arange(len(alive))
        slope = ((rank - middle) * (values - values.mean())).mean() / variance
        off = values - (slope * rank + (values.mean() - slope * middle))
        spread, left = np.abs(off).mean(), []
        for place, away in zip(alive, off, strict=True):
            far = -away > clip.low * spread or away > clip.high * spread
            if far and len(alive) - rejected > SIRIL_LEAST:
                rejected += 1
            else:
                left.append(place)
        if len(left) == len(alive):
            break
        alive = left
    return alive


def siril_esd(clip, column, critical):
    """The ESD test, in which Siril always rejects at least two candidates.

    Siril records the index of a candidate among the samples left in its step, and uses it as a
    rank of the whole column. `critical` returns the critical value for a number of samples.
    """
    alive, places, sure = list(range(len(column))), [], 0
    for step in range(int(clip.outliers * len(column))):
        values = column[alive]
        away = np.abs(values - values.mean())
        furthest = int(away.argmax())
        if away[furthest] / values.std(ddof=1) > critical(len(values)):
            sure = step + 1
        places.append(furthest)
        del alive[furthest]
    taken = set()
    for place in places[: max(sure, min(2, len(places)))]:
        while place in taken:
            place += 1  # noqa: PLW2901 - the next sample that is not rejected yet
        taken.add(place)
    return [rank for rank in range(len(column)) if rank not in taken]


def siril(clip, column, whole, critical):
    """The ranks that survive a clip of Siril."""
    if isinstance(clip, ESDClip):
        return siril_esd(clip, column, critical)
    if isinstance(clip, LinearFitClip):
        return siril_linear(clip, column)
    return siril_passes(clip, column, whole)


def iraf_spread(clip, values, middle):
    """The spread about the median: of the noise model for ccdclip, of the samples for sigclip."""
    if isinstance(clip, NoiseClip):
        level = max(middle, 0)
        read = (clip.rdnoise / clip.gain) ** 2
        return math.sqrt(read + level / clip.gain + (clip.snoise * level) ** 2)
    return math.sqrt(((values - middle) ** 2).sum() / (len(values) - 1))


def iraf_scaled(clip, samples, scale):
    """The mean after IRAF's sigclip of scaled frames, with each sample in units of its own noise.

    IRAF goes through the sorted samples from both ends inwards, and stops at the first that is
    within its bounds, although one further in, of less noise, may be outside its own bounds.
    """
    order = np.argsort(samples, kind="stable")
    samples, scale, low, high = samples[order], scale[order], 0, len(samples)
    while high - low >= 3:
        middle = np.median(samples[low:high])
        units = np.sqrt(np.maximum(1, middle * scale))
        off = (samples - middle) / units
        off /= np.sqrt((off[low:high] ** 2).sum() / (high - low - 1))
        was = low, high
        while low < high and off[low] < -clip.low:
            low += 1
        while low < high and off[high - 1] > clip.high:
            high -= 1
        if (low, high) == was:
            break
    return samples[low:high].mean()


def iraf(clip, column):
    """The ranks that survive a clip of IRAF about the median.

    If too many samples are rejected, IRAF walks outwards from those left. It compares the residuals
    of the next sample on both sides, each in units of the spread of the pass that rejected it.
    """
    low, high = 0, len(column)
    least = clip.keep if clip.keep > 0 else max(0, high + clip.keep)
    residual = np.zeros(high)
    fewest = 2 if isinstance(clip, NoiseClip) else 3
    while high - low >= max(fewest, least + 1):
        values = column[low:high]
        middle = np.median(values)
        spread = iraf_spread(clip, values, middle)
        if spread == 0:
            break
        was = low, high
        away = np.abs(column - middle) / spread
        while low < high and (middle - column[low]) / spread > clip.low:
            residual[low], low = away[low], low + 1
        while low < high and (column[high - 1] - middle) / spread > clip.high:
            residual[high - 1], high = away[high - 1], high - 1
        if (low, high) == was:
            break
    while high - low < least:
        low, high = _walk(residual, low, high, was[1] - was[0])
    return list(range(low, high))


def iraf_median_after_growing(column, rejected):
    """IRAF's median of a column that was sorted before growing rejected samples of it.

    Frame by frame, the last sample takes the place of the rejected one, so that the column is no
    longer sorted. `column` and `rejected` have one entry per frame.
    """
    order = np.argsort(column, kind="stable").tolist()
    for frame in np.flatnonzero(rejected):
        place, last = order.index(frame), order.pop()
        if place < len(order):
            order[place] = last
    middle = len(order) // 2
    ranks = (middle - 1, middle) if len(order) % 2 == 0 else (middle,)
    return np.mean([column[order[rank]] for rank in ranks]) if order else np.nan


def _walk(residual, low, high, last):
    """Extend [low, high) by the nearer neighbour, and by those next to it that are no further.

    `last` is the number of samples at the start of the last pass; IRAF uses it as a rank.
    """
    if low == 0:
        return low, high + 1
    if high == len(residual):
        return low - 1, high
    below, above = residual[low - 1], residual[high]
    near = min(below, above) + IRAF_EQUAL
    both = max(below, above) <= near
    if below < above:
        low, high = low - 1, high + both
        return low - (low > 0 and residual[low - 1] <= near), high
    low, high = low - both, high + 1
    return low, high + (high < last and residual[high] <= near)
