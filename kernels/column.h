// Columns: the valid samples of one pixel and the interval [lo, hi) of ranks that survives.
//
// Three kinds answer alike, so that clips and combining are written once: `Held` in registers
// and not sorted, for recipes that look at no rank; `Parked`, in parked.h, sorted in shared
// memory; and `Streamed`, in streamed.h, which reads its samples again at every question.
#pragma once

#include "members.h"

// The ranks [first, last).
struct Ranks {
    int first, last;

    __device__ int count() const { return last - first; }
};

// What a clip lets pass. A bound that is no number rejects nothing.
struct Bounds {
    double lower, upper;

    __device__ bool is_low(double x) const { return x < lower; }
    __device__ bool is_high(double x) const { return x > upper; }
};

// Those of a range clip.
__device__ inline Bounds range_of(const Clip& clip)
{
    return {clip.has_low ? clip.low : -ENDLESS, clip.has_high ? clip.high : ENDLESS};
}

// Beside what is within the bounds, what is no further than `reach` from their centre.
struct WiderBounds : Bounds {
    double center, reach;

    __device__ bool is_low(double x) const { return x < lower && fabs(x - center) > reach; }
    __device__ bool is_high(double x) const { return x > upper && fabs(x - center) > reach; }
};

// What all kinds know.
struct Interval {
    int valid = 0;          // valid samples
    int lo = 0, hi = 0;     // the ranks that survive

    __device__ int count() const { return hi - lo; }

    // Leave ranks [low, high) in, as far as they still are.
    __device__ void cut(int low, int high)
    {
        lo = min(max(lo, low), hi);
        hi = max(min(hi, high), lo);
    }
};

// Floats add up in double without a loss worth a pivot, and equal ones to an exact multiple;
// doubles add up about one of them.
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

    // Of a function of the samples.
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

    // Of samples that have been sorted.
    __device__ void middle(Image& lower, Image& upper) const
    {
        // By masks: of a chain of choices the compiler makes an array in local memory.
        lower = upper = 0;
#pragma unroll
        for (int i = 0; i < COUNT; ++i) {
            lower |= v[i] & -Image(i == (valid - 1) >> 1);
            upper |= v[i] & -Image(i == valid >> 1);
        }
    }
};
