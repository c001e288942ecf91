// The clips, as moves of the interval of ranks that survives.
#pragma once

#include "load.h"
#include "reduce.h"

// How many of the `rank` lowest samples of all frames, by (value, frame), are valid.
__device__ inline int valid_among_lowest(const Task& task, const Place& place, int rank)
{
    // The value at that rank, one bit at a time: rank samples lie below it or equal it.
    Image first = -LARGEST, last = LARGEST;
#pragma unroll 1
    while (first < last) {
        Image middle = (first & last) + ((first ^ last) >> 1);  // cannot overflow
        int upto = 0;
#pragma unroll 1
        for (int f = 0; f < task.count(); ++f)
            upto += among_all(task.frames[f], place) <= middle;
        if (upto >= rank)
            last = middle;
        else
            first = middle + 1;
    }
    int below = 0, valid = 0, equal = 0;
#pragma unroll 1
    for (int f = 0; f < task.count(); ++f)
        below += among_all(task.frames[f], place) < first;
    each_sample(task, place, [&](int f, Sample seen) {
        Image value = among_all(task.frames[f], place);
        bool lowest = value < first || (value == first && below + equal++ < rank);
        valid += lowest && seen.fate == VALID;
    });
    return valid;
}

// Leave ranks [low, high) in: among the samples that still are, or among all frames.
template <class Column>
__device__ inline void clip_extrema(
    const Task& task, const Place& place, const Clip& clip, Column& column)
{
    const bool among_valid = clip.kind == CLIP_EXTREMA;
    int low = among_valid ? column.lo + clip.nlow : clip.nlow;
    int high = (among_valid ? column.hi : task.count()) - clip.nhigh;
    const bool some_invalid = column.valid < task.count();
#pragma unroll 1
    for (int side = 0; side < 2 && some_invalid && !among_valid; ++side) {
        int valid = valid_among_lowest(task, place, side ? high : low);
        low = side ? low : valid;
        high = side ? valid : high;
    }
    column.cut(low, high);
}

template <class Column>
__device__ inline void clip_sigma(const Clip& clip, Column& column)
{
    const double infinity = widen(INVALID);
    for (int pass = 0; column.count() > 0 && pass != clip.maxiters; ++pass) {
        Image low = 0, high = 0;
        if (clip.center == CENTER_MEDIAN || clip.spread == SPREAD_MAD)
            column.middle(low, high);
        double average = 0;
        if (clip.center == CENTER_MEAN || clip.spread == SPREAD_STD)
            average = total(column).mean(column.count());
        double center = clip.center == CENTER_MEAN ? average : midpoint(low, high);
        double spread = clip.spread == SPREAD_MAD ? mad_std(column, low, high)
                                                  : standard_deviation(column, average, clip.ddof);
        double lower = clip.has_low ? center - clip.low * spread : -infinity;
        double upper = clip.has_high ? center + clip.high * spread : infinity;
        if (!column.narrow_to(lower, upper))
            break;
    }
}

template <class Column>
__device__ inline void run_clip(
    const Task& task, const Place& place, const Clip& clip, Column& column)
{
    const double infinity = widen(INVALID);
    if (clip.kind == CLIP_SIGMA)
        clip_sigma(clip, column);
    else if (clip.kind == CLIP_EXTREMA || clip.kind == CLIP_EXTREMA_ALL)
        clip_extrema(task, place, clip, column);
    else if (column.count() > 0)
        column.narrow_to(clip.has_low ? clip.low : -infinity, clip.has_high ? clip.high : infinity);
}
