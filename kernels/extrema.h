// Clips by rank: the lowest and the highest samples of a column.
#pragma once

#include "load.h"

// The number of valid samples among the `rank` lowest of all frames, ranked by (value, frame).
__device__ inline int valid_among_lowest(const Task& task, const Place& place, int rank)
{
    // Bisect, bit by bit, for the value at that rank: the least one that at least `rank` samples do
    // not exceed.
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

// The share of `count` survivors that `rejected` is of all frames, rounded down. The 0.001 makes up
// for rounding errors in whole numbers.
__device__ inline int share_of(int count, int rejected, int frames)
{
    return int(double(count) * rejected / frames + 0.001);
}

// Keep ranks [low, high): among the survivors, or among the samples of all frames.
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
