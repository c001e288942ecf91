// Centres and spreads that only clips have.
#pragma once

#include "noise.h"
#include "reduce.h"
#include "winsor.h"

// The mean of all samples but the lowest and the highest. These are not subtracted from the sum of
// all samples, in which a large outlier can have swamped the others.
template <class Column>
__device__ inline double trimmed_mean(const Column& column)
{
    Column inner = column;
    if (column.count() >= 3) {
        inner.drop(false);
        inner.drop(true);
    }
    return total(inner).mean(inner.count());
}

// The distance from the median to the sample that is `rank` ranks from it; NaN where it is 0.
template <class Column>
__device__ inline double spread_of_rank(const Clip& clip, const Column& column, double median)
{
    int below = max(column.lo, ((column.lo + column.hi - 1) >> 1) + clip.rank);
    int above = min(column.hi - 1, ((column.lo + column.hi) >> 1) + clip.rank);
    double spread = fabs(widen(column.at(clip.rank < 0 ? below : above)) - median);
    return spread == 0 ? NOT_A_NUMBER : spread;
}

template <class Column>
__device__ inline double other_spread(const Clip& clip, const Column& column, double center)
{
    if (clip.spread == SPREAD_WINSORIZED)
        return winsorized_spread(column, center);
    if (clip.spread == SPREAD_RANK)
        return spread_of_rank(clip, column, center);
    return clip.spread == SPREAD_NOISE ? ccd_noise(clip, center) : fabs(center);
}
