// Sorted columns in shared memory.
#pragma once

#include "load.h"

// Sorted samples at `v[rank * BLOCK]`, so that neighbouring threads use different banks.
struct Parked : Interval {
    static constexpr bool RANKED = true;
    Image* v;

    __device__ Parked(Image* values, int valid_count) : v(values)
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
#pragma unroll 8
        for (int i = lo; i < hi; ++i)
            result += term(widen(at(i)));
        return result;
    }

    // The ranks of the survivors within some bounds.
    template <class Limits>
    __device__ Ranks within(const Limits& bounds) const
    {
        int first = lo, last = hi;
        while (first < last && bounds.is_low(widen(at(first))))
            ++first;
        while (first < last && bounds.is_high(widen(at(last - 1))))
            --last;
        return {first, last};
    }

    // Keep only the survivors within some bounds; returns whether any was rejected.
    template <class Limits>
    __device__ bool narrow_to(const Limits& bounds)
    {
        int was = count();
        Ranks inside = within(bounds);
        lo = inside.first;
        hi = inside.last;
        return count() < was;
    }

    // Become the column of these ranks alone, without any of the other samples.
    __device__ void become(Ranks inside)
    {
        v += inside.first * BLOCK;
        valid = hi = inside.count();
        lo = 0;
    }

    // Remove infinite samples and NaN, which are at the ends.
    __device__ void leave_invalid()
    {
        int first = 0, last = valid;
        while (first < last && at(first) <= -INVALID)
            ++first;
        while (first < last && at(last - 1) >= INVALID)
            --last;
        become({first, last});
    }

    // Reject the highest or the lowest survivor.
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

    // Call `visit(rank, image)` with every survivor.
    template <class Visit>
    __device__ void each_rank(const Task&, const Place&, const Visit& visit) const
    {
        for (int i = lo; i < hi; ++i)
            visit(i - lo, at(i));
    }

    __device__ int rank_of(const Task& task, const Place& place, int frame, Image image) const;
    __device__ double deviation(double lower, double upper) const;
    __device__ Members members() const;
    __device__ void remove(const Task& task, const Place& place, int count);

private:
    // How far the sample of a rank is below or above the middle; infinite for ranks of no survivor.
    __device__ double below(int rank, double lower) const
    {
        double off = lower - widen(at(max(rank, lo)));
        return rank < lo ? ENDLESS : off;
    }

    __device__ double above(int rank, double upper) const
    {
        double off = widen(at(min(rank, hi - 1))) - upper;
        return rank >= hi ? ENDLESS : off;
    }
};

// The median deviation from the middle: the k-th smallest deviation, for an even count the mean of
// that and the next one.
//
// The k samples nearest to the middle are neighbours in rank. As a window of k ranks moves up, the
// deviation at its low end falls and that at its high end grows: bisect for the first window whose
// high end is the further one. The nearest k are in that window or in the one before.
__device__ inline double Parked::deviation(double lower, double upper) const
{
    int half = (count() + 1) >> 1;
    const Image* top = v + (half - 1) * BLOCK;  // high end of the window that begins at rank 0
    int start = lo, last = hi - half + 1;
    while (start < last) {
        int middle = (start + last) >> 1;
        if (lower - widen(at(middle)) > widen(top[middle * BLOCK]) - upper)
            start = middle + 1;
        else
            last = middle;
    }
    double here = above(start + half - 1, upper), before = below(start - 1, lower);
    double nearest = fmin(here, before);
    if (count() & 1)
        return nearest;
    // The next smallest deviation is that of a neighbour of the window.
    start -= before < here;
    return (nearest + fmin(below(start - 1, lower), above(start + half, upper))) * 0.5;
}

// The rank, among the survivors, of the sample of a frame.
__device__ inline int Parked::rank_of(
    const Task& task, const Place& place, int frame, Image image) const
{
    int first = 0, last = valid;
    while (first < last) {
        int middle = (first + last) >> 1;
        if (at(middle) < image)
            first = middle + 1;
        else
            last = middle;
    }
    if (first + 1 < valid && at(first + 1) == image)    // equal samples rank by frame
        each_sample<1>(task, place, [&](int f, Sample seen) {
            first += seen.image == image && f < frame;
        });
    return first - lo;
}

// Remove the `count` survivors that are marked as LEAVING.
__device__ inline void Parked::remove(const Task& task, const Place& place, int count)
{
    hi -= count;
    each_sample<1>(task, place, [&](int f, Sample seen) {
        if (((const Byte*)task.out.reasons)[f * task.pixels + place.pixel] != LEAVING)
            return;
        int rank = 0;
        while (at(rank) < seen.image)
            ++rank;
        for (--valid; rank < valid; ++rank)
            v[rank * BLOCK] = at(rank + 1);
    });
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
