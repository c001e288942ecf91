// How many samples a clip has to leave, and which rejected ones are restored for that.
#pragma once

#include "column.h"

// The least number of `count` samples that a clip leaves.
__device__ inline int least_kept(const Clip& clip, int count)
{
    return clip.keep >= 0 ? min(clip.keep, count) : max(count + clip.keep, 0);
}

// The distance from the centre up to which samples are restored, so that `least` of them are left.
//
// The samples `inside` and the nearest others are neighbours in rank. As a window of `least` ranks
// moves up, the sample at its low end comes nearer to the centre and the next one above it moves
// away: bisect for the first window whose low end is not the further of the two.
template <class Column>
__device__ inline double reach_of(const Column& column, Ranks inside, double center, int least)
{
    auto off = [&](int rank) { return fabs(widen(column.at(rank)) - center); };
    int start = max(column.lo, inside.last - least), last = min(inside.first, column.hi - least);
    while (start < last) {
        int middle = (start + last) >> 1;
        if (off(middle) > off(middle + least))
            start = middle + 1;
        else
            last = middle;
    }
    double below = start < inside.first ? off(start) : 0;
    double above = start + least > inside.last ? off(start + least - 1) : 0;
    return fmax(below, above);
}
