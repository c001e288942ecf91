// Clips by rank: the lowest and the highest samples of a column.
#pragma once

#include "load.h"

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

// Of `count` samples that are still in, the share that `rejected` is of all frames; what
// rounding keeps from a whole number is one.
__device__ inline int share_of(int count, int rejected, int frames)
{
    return int(double(count) * rejected / frames + 0.001);
}

// Leave ranks [low, high) in: among the samples that still are, or among all frames.
template <class Column>
__device__ inline void clip_extrema(
    const Task& task, const Place& place, const Clip& clip, Column& column)
{
    const bool among_valid = clip.kind != CLIP_EXTREMA_ALL;
    int nlow = clip.nlow, nhigh = clip.nhigh;
    if (EVERY_CLIP && clip.kind == CLIP_EXTREMA_SHARE) {
        nlow = share_of(column.count(), nlow, task.count());
        nhigh = share_of(column.count(), nhigh, task.count());
    }
    int low = among_valid ? column.lo + nlow : nlow;
    int high = (among_valid ? column.hi : task.count()) - nhigh;
    const bool some_invalid = column.valid < task.count();
#pragma unroll 1
    for (int side = 0; side < 2 && some_invalid && !among_valid; ++side) {
        int valid = valid_among_lowest(task, place, side ? high : low);
        low = side ? low : valid;
        high = side ? valid : high;
    }
    column.cut(low, high);
}
