// Columns: the valid samples of one pixel and the interval [lo, hi) of ranks that survives.
//
// There are three kinds with the same interface, so that clips and combining are written once:
// `Held` in registers, not sorted, for recipes that need no rank; `Parked` (parked.h), sorted, in
// shared memory; and `Streamed` (streamed.h), which reads its samples again for every statistic.
#pragma once

#include "members.h"

// The ranks [first, last).
struct Ranks {
    int first, last;

    __device__ int count() const { return last - first; }
};

// The bounds of a clip. A bound that is NaN rejects nothing.
struct Bounds {
    double lower, upper;

    __device__ bool is_low(double x) const { return x < lower; }
    __device__ bool is_high(double x) const { return x > upper; }
};

// The bounds of a range clip.
__device__ inline Bounds range_of(const Clip& clip)
{
    return {clip.has_low ? clip.low : -ENDLESS, clip.has_high ? clip.high : ENDLESS};
}

// Bounds that also let samples pass that are no further than `reach` from the centre.
struct WiderBounds : Bounds {
    double center, reach;

    __device__ bool is_low(double x) const { return x < lower && fabs(x - center) > reach; }
    __device__ bool is_high(double x) const { return x > upper && fabs(x - center) > reach; }
};

// What all kinds of columns have.
struct Interval {
    int valid = 0;          // valid samples
    int lo = 0, hi = 0;     // the ranks that survive

    __device__ int count() const { return hi - lo; }

    // Keep only the survivors among ranks [low, high).
    __device__ void cut(int low, int high)
    {
        lo = min(max(lo, low), hi);
        hi = max(min(hi, high), lo);
    }
};

// Doubles are added up as differences from one of them. Floats need no such pivot: in double, their
// sum loses too little, and that of equal floats is exact.
static constexpr bool PIVOTED = sizeof(REAL) == 8;

// All samples in registers, invalid ones as INVALID. No clip may have been applied.
template <int COUNT>
struct Held : Interval {
    static constexpr bool RANKED = false;
    Image (&v)[COUNT];

    __device__ Held(Image (&values)[COUNT], int valid_count) : v(values)
    {
        valid = hi = valid_count;
    }

    __device__ double pivot() const { return widen(lowest()); }

    // The sum of a function of the samples.
    template <class Term>
    __device__ double sum(const Term& term) const
    {
        double result = 0;
#pragma unroll
        for (int i = 0; i < COUNT; ++i)
            result += v[i] == INVALID ? 0 : term(widen(v[i]));
        return result;
    }

    __device__ Image lowest() const
    {
        Image result = v[0];
#pragma unroll
        for (int i = 1; i < COUNT; ++i)
            result = min(result, v[i]);
        return result;
    }

    __device__ Image highest() const
    {
        Image result = -LARGEST;
#pragma unroll
        for (int i = 0; i < COUNT; ++i)
            result = v[i] == INVALID ? result : max(result, v[i]);
        return result;
    }

    // The two middle samples; the samples must have been sorted.
    __device__ void middle(Image& lower, Image& upper) const
    {
        // By masks, because the compiler turns a chain of choices into an array in local memory.
        lower = upper = 0;
#pragma unroll
        for (int i = 0; i < COUNT; ++i) {
            lower |= v[i] & -Image(i == (valid - 1) >> 1);
            upper |= v[i] & -Image(i == valid >> 1);
        }
    }
};
