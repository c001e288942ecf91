// How many samples a clip leaves, and which of them come back.
#pragma once

#include "column.h"

// How many of `count` samples a clip leaves at least.
__device__ inline int least_kept(const Clip& clip, int count)
{
    return clip.keep >= 0 ? min(clip.keep, count) : max(count + clip.keep, 0);
}

// How far from the centre samples come back, so that `least` of them are left.
//
// Beside those `inside`, the nearest: all together are neighbours in rank. As a window of
// `least` ranks moves up, the sample at its low end comes nearer and the next one above it
// goes further: bisect for the first window whose low end is not the further of both.
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
