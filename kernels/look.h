// A second look at the samples of a pixel, frame by frame, once it is known which survive.
#pragma once

#include "load.h"
#include "members.h"

// The number of frames with counters in shared memory; later frames are counted in device memory.
static constexpr int COUNTERS = N > 0 ? N : 1024;

// Tallies of frames. They count rare events, which a block collects in shared memory before it adds
// them to device memory.
struct Tallies {
    unsigned* invalid;      // [COUNTERS], shared by the block
    unsigned* rejected;

    __device__ void clear()
    {
        for (int f = threadIdx.x; f < COUNTERS; f += blockDim.x)
            invalid[f] = rejected[f] = 0;
        __syncthreads();
    }

    __device__ void count(unsigned* collected, unsigned long long total, int f)
    {
        if (total && f < COUNTERS)
            atomicAdd(collected + f, 1u);
        else if (total)
            atomicAdd((unsigned long long*)total + f, 1ull);
    }

    __device__ void flush(const Task& task)
    {
        __syncthreads();
        for (int f = threadIdx.x; f < COUNTERS && f < task.count(); f += blockDim.x) {
            if (invalid[f])
                atomicAdd((unsigned long long*)task.out.invalid + f, 0ull + invalid[f]);
            if (rejected[f])
                atomicAdd((unsigned long long*)task.out.rejected + f, 0ull + rejected[f]);
        }
    }
};

// Weighted sums over the survivors, in the order of frames; for a quadrature, of squares of values.
struct Weighted {
    double weights = 0, values = 0;

    __device__ void add(double value, double weight)
    {
        double term = value * weight;
        weights += weight;
        values += IS_QUADRATURE ? term * term : term;
    }
};

__device__ inline double value_of(const Weighted& sums)
{
    if (COMBINE == COMBINE_SUM)
        return sums.values;
    double root = IS_QUADRATURE ? sqrt(sums.values) : sums.values;
    return root / sums.weights;
}

// Whether a column with `count` survivors needs a second look.
__device__ inline bool looks_again(const Task& task, int count)
{
    bool tallies = task.out.invalid || task.out.rejected;
    return WEIGHTED || (LOOK && (task.out.reasons || (tallies && count < task.count())));
}

__device__ inline int reason(Fate fate, bool inside)
{
    if (inside)
        return REASON_NONE;
    if (fate == VALID || fate == CLIPPED_OUT)
        return REASON_CLIP;
    return fate == MASKED_OUT ? REASON_MASKED : fate == NO_VALUE ? REASON_NO_VALUE : REASON_RANGE;
}

// Reasons, tallies and weighted sums of the samples of a pixel.
__device__ inline Weighted look(
    const Task& task, const Place& place, Members members, Tallies& tallies)
{
    Weighted sums;
    each_sample(task, place, [&](int f, Sample seen) {
        bool inside = members.inside(seen.image);
        if (WEIGHTED && inside) {
            Image value = IS_LATE ? late_image(task, place, f, seen.image) : seen.image;
            sums.add(widen_any(value), weight_of(task.frames[f], place));
        }
        if (LOOK && task.out.reasons)
            ((Byte*)task.out.reasons)[f * task.pixels + place.pixel] = reason(seen.fate, inside);
        if (LOOK && is_invalid(seen.fate))
            tallies.count(tallies.invalid, task.out.invalid, f);
        else if (LOOK && !inside)
            tallies.count(tallies.rejected, task.out.rejected, f);
    });
    return sums;
}
