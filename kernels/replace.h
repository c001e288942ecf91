// The clip that replaces samples by medians.
#pragma once

#include "reduce.h"

// The standard deviation of survivors and medians together; NaN for a single value.
template <class Column>
__device__ inline double spread_of_all(const Column& column, const StandIns& stand_ins)
{
    const int n = column.count() + stand_ins.count;
    const double mean = stand_ins.mean(total(column), column.count());
    double squares = column.sum([=](double x) {
        double off = x - mean;
        return off * off;
    });
    squares = fmax(squares + stand_ins.squares_about(mean), 0.0);
    return n > 1 ? sqrt(squares / (n - 1)) : NOT_A_NUMBER;
}

template <class Column>
__device__ inline StandIns replace_outliers(const Clip& clip, Column& column)
{
    StandIns stand_ins;
    if (column.count() < 2)
        return stand_ins;
    Image low, high;
    column.middle(low, high);
    const double least = widen(low), most = widen(high);
    // The two middle values of samples and medians together; for an odd count the same one twice.
    double below = least, above = most;
    stand_ins.origin = midpoint(low, high);
#pragma unroll 1
    for (int pass = 0; pass != clip.maxiters; ++pass) {
        const double center = midpoint(below, above);
        const double spread = spread_of_all(column, stand_ins);
        double lower = clip.has_low ? center - clip.low * spread : -ENDLESS;
        double upper = clip.has_high ? center + clip.high * spread : ENDLESS;
        lower = lower > least ? least : lower;  // a bound that is NaN stays NaN
        upper = upper < most ? most : upper;
        const int lo = column.lo, hi = column.hi;
        if (!column.narrow_to(Bounds{lower, upper}))
            break;
        // A side that lost samples has as many copies of the median instead: its middle value is
        // the median.
        below = column.lo > lo ? center : below;
        above = column.hi < hi ? center : above;
        stand_ins.add(column.lo - lo + hi - column.hi, center);
    }
    return stand_ins;
}
