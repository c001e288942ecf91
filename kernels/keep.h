// How many samples a clip leaves, and which of them come back.
#pragma once

#include "column.h"

// How many of `count` samples a clip leaves at least.
__device__ inline int least_kept(const Clip& clip, int count)
{
    return clip.keep >= 0 ? min(clip.keep, count) : max(count + clip.keep, 0);
}

// Leave so many samples in: those `inside` and, of the others, the nearest to the centre; of
// two equally near the lower one.
//
// They are neighbours in rank. As a window of `least` ranks moves up, the sample at its low
// end comes nearer and the next one above it goes further: bisect for the first window whose
// low end is not the further of both.
template <class Column>
__device__ inline void keep_nearest(Column& column, Ranks inside, double center, int least)
{
    int start = max(column.lo, inside.last - least), last = min(inside.first, column.hi - least);
    while (start < last) {
        int middle = (start + last) >> 1;
        double below = fabs(widen(column.at(middle)) - center);
        double above = fabs(widen(column.at(middle + least)) - center);
        if (below > above)
            start = middle + 1;
        else
            last = middle;
    }
    column.cut(start, start + least);
}
