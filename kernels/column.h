// Columns: the valid samples of one pixel and the interval [lo, hi) of ranks that survives.
//
// Three kinds answer alike, so that clips and combining are written once: `Held` in registers
// and not sorted, for recipes that look at no rank; `Parked` in shared memory, sorted; and
// `Streamed`, in streamed.h, which reads its samples again at every question.
#pragma once

#include "members.h"

// The ranks [first, last).
struct Ranks {
    int first, last;

    __device__ int count() const { return last - first; }
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

#define ENDLESS __longlong_as_double(0x7ff0000000000000)

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

// Sorted samples at `v[rank * BLOCK]`, so that neighbouring threads meet no bank twice.
struct Parked : Interval {
    static constexpr bool RANKED = true;
    const Image* v;

    __device__ Parked(const Image* values, int valid_count) : v(values)
    {
        valid = hi = valid_count;
    }

    __device__ Image at(int rank) const { return v[rank * BLOCK]; }
    __device__ Image lowest() const { return at(lo); }
    __device__ Image highest() const { return at(hi - 1); }
    __device__ double pivot() const { return widen(at((lo + hi) >> 1)); }

    template <class Term>
    __device__ double sum(const Term& term) const
    {
        double result = 0;
        for (int i = lo; i < hi; ++i)
            result += term(widen(at(i)));
        return result;
    }

    // The survivors within the bounds.
    __device__ Ranks within(double lower, double upper) const
    {
        int first = lo, last = hi;
        while (first < last && widen(at(first)) < lower)
            ++first;
        while (first < last && widen(at(last - 1)) > upper)
            --last;
        return {first, last};
    }

    // Leave in what is within the bounds; whether that changed anything.
    __device__ bool narrow_to(double lower, double upper)
    {
        int was = count();
        Ranks inside = within(lower, upper);
        lo = inside.first;
        hi = inside.last;
        return count() < was;
    }

    // Leave the highest or the lowest out.
    __device__ void drop(bool highest)
    {
        lo += !highest;
        hi -= highest;
    }

    __device__ void middle(Image& lower, Image& upper) const
    {
        lower = at((lo + hi - 1) >> 1);
        upper = at((lo + hi) >> 1);
    }

    __device__ double deviation(double lower, double upper) const;
    __device__ Members members() const;

private:
    // How far a rank is beyond the middle; endless past the survivors.
    __device__ double below(int rank, double lower) const
    {
        return rank < lo ? ENDLESS : lower - widen(at(rank));
    }

    __device__ double above(int rank, double upper) const
    {
        return rank >= hi ? ENDLESS : widen(at(rank)) - upper;
    }
};

// The median deviation from the middle: the mean of the k-th and the next smallest.
//
// The k samples nearest to the middle are neighbours. As a window of k ranks moves up, the
// deviation at its low end falls and that at its high end grows: bisect for the first window
// whose high end is the further one. The nearest k are in that window or the one before.
__device__ inline double Parked::deviation(double lower, double upper) const
{
    int half = (count() + 1) >> 1;
    int start = lo, last = hi - half + 1;
    while (start < last) {
        int middle = (start + last) >> 1;
        if (below(middle, lower) > above(middle + half - 1, upper))
            start = middle + 1;
        else
            last = middle;
    }
    double here = above(start + half - 1, upper), before = below(start - 1, lower);
    double nearest = fmin(here, before);
    if (count() & 1)
        return nearest;
    // The next is that of a neighbour of the window.
    start -= before < here;
    return (nearest + fmin(below(start - 1, lower), above(start + half, upper))) * 0.5;
}

__device__ inline Members Parked::members() const
{
    if (count() == 0)
        return Members::none();
    int low = lo, high = hi - 1;
    while (low > 0 && at(low - 1) == at(lo))
        --low;
    while (high > 0 && at(high - 1) == at(hi - 1))
        --high;
    return {at(lo), at(hi - 1), lo - low, hi - high};
}
