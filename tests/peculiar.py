"""IRAF 2.17 and Siril 1.0.6 as they are, where we do otherwise: one column, peculiarities and all.

These models were found by trying what the programs make of columns. They show that a listed
difference has the reason that it is said to have. A column is sorted, in float64; a model gives
the ranks of those that survive, or what stands in their places.
"""

import math

import numpy as np

from gpustack.clips import ESDClip, LinearFitClip, MADClip, NoiseClip, SigmaClip, WinsorizedClip

#: Siril tests a sample only while it counts more than this as left.
SIRIL_LEAST = 4
#: imcombine takes residuals that differ by less, in units of the spread, as equal.
IRAF_EQUAL = 0.001


def half_up(values):
    """Rounded as C's round does to numbers >= 0."""
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
    """About the median of the pass before; of floats, by a histogram."""
    if whole:
        return float(np.median(np.abs(values - half_up(before))))
    return float(histogram_median(np.abs(values - before)))


def siril_winsorized(values, before, whole):
    """Of samples of 16 bits, those that are pulled in become whole numbers."""
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
    """Passes by a spread, with what has been rejected counted from the first pass on."""
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
    """What stands in the column in the end, medians that replaced medians among it."""
    standing = column.copy()
    while True:
        middle, spread = np.median(standing), standing.std(ddof=1)
        far = (middle - standing > clip.low * spread) | (standing - middle > clip.high * spread)
        if not far.any():
            return standing
        standing[far] = np.floor(middle) if whole else middle


def siril_linear(clip, column):
    """In later passes too, the line is fitted with the mean and variance of the first ranks."""
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
    """Two candidates are always rejected; a later one is looked for where it was without them.

    `critical` is the critical value for so many samples.
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
            place += 1  # noqa: PLW2901 - the next that is still there
        taken.add(place)
    return [rank for rank in range(len(column)) if rank not in taken]


def siril(clip, column, whole, critical):
    """The ranks that survive."""
    if isinstance(clip, ESDClip):
        return siril_esd(clip, column, critical)
    if isinstance(clip, LinearFitClip):
        return siril_linear(clip, column)
    return siril_passes(clip, column, whole)


def iraf_spread(clip, values, middle):
    """The spread of sigclip and ccdclip about the median."""
    if isinstance(clip, NoiseClip):
        level = max(middle, 0)
        read = (clip.rdnoise / clip.gain) ** 2
        return math.sqrt(read + level / clip.gain + (clip.snoise * level) ** 2)
    return math.sqrt(((values - middle) ** 2).sum() / (len(values) - 1))


def iraf_scaled(clip, samples, scale):
    """Of scaled frames, about the median, each sample in units of its own noise.

    It looks from the ends of the sorted samples inwards, and no further than to the first that
    is within its bounds, though one behind it, of less noise, may be out of its own.
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
    """About the median; where too many are rejected, it walks outwards from what is left.

    It compares the residuals of the next on both sides, each in units of the spread of the pass
    that rejected it.
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
    """The middle of a column that was sorted before samples were taken out of it.

    The last one takes the place of each, frame by frame. `column` and `rejected` have a sample a
    frame.
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
    """Outwards by the nearer neighbour, and by those beside it that are no further.

    `last` is how many samples the last pass began with; it is taken for a rank.
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
