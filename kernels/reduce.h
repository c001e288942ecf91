// Statistics of the survivors of a column, in double, and the value and uncertainty made of them.
#pragma once

#include "column.h"

// 1 / (quantile of the normal distribution at 3/4): converts a MAD to a standard deviation.
#define MAD_TO_STD 1.482602218505602
#define NOT_A_NUMBER __longlong_as_double(0x7ff8000000000000)

// The mean of two numbers; of equal ones exactly that number, also if infinite. The sum of two
// large ones may overflow.
__device__ inline double midpoint(double low, double high)
{
    double middle = (low + high) * 0.5;
    if (sizeof(REAL) == 8 && fabs(middle) == ENDLESS)
        middle = low * 0.5 + high * 0.5;
    return low == high ? low : middle;
}

__device__ inline double midpoint(Image low, Image high)
{
    return midpoint(widen(low), widen(high));
}

// The sum of the survivors, as `origin` times their count plus `rest`.
struct Total {
    double origin = 0, rest = 0;

    __device__ double sum(int count) const { return origin * count + rest; }
    __device__ double mean(int count) const { return origin + rest / count; }
};

// The medians that stand in a column in the place of rejected samples. Only their sums are needed,
// because no pass replaces a median: each lies between the middle samples, which always stay.
struct StandIns {
    int count = 0;
    double origin = 0;              // the first median of the column
    double total = 0, squares = 0;  // of the distances from `origin`

    __device__ void add(int more, double value)
    {
        double away = value - origin;
        count += more;
        total += more * away;
        squares += more * (away * away);
    }

    // The mean of `samples` survivors, which have these sums, together with the medians.
    __device__ double mean(const Total& sums, int samples) const
    {
        double mine = count ? count * (origin - sums.origin) + total : 0;
        return sums.origin + (sums.rest + mine) / (samples + count);
    }

    __device__ double squares_about(double center) const
    {
        double away = center - origin;
        return count ? squares + away * (count * away - 2 * total) : 0;
    }
};

template <class Column>
__device__ inline Total total(const Column& column)
{
    double origin = PIVOTED ? column.pivot() : 0;
    return {origin, column.sum([=](double x) { return x - origin; })};
}

// The standard deviation about a centre; NaN for at most `ddof` samples.
template <class Column>
__device__ inline double standard_deviation(const Column& column, double center, int ddof)
{
    int degrees = column.count() - ddof;
    if (degrees <= 0)
        return NOT_A_NUMBER;
    double squares = column.sum([=](double x) {
        double off = x - center;
        return off * off;
    });
    return sqrt(squares / degrees);
}

// The MAD, given the two middle samples, which are the same one where the count is odd.
template <class Column>
__device__ inline double mad(const Column& column, Image low, Image high)
{
    double lower = widen(low), upper = widen(high);
    return (upper - lower) * 0.5 + column.deviation(lower, upper);
}

// The mean of the two middle samples or, if the recipe says so, the lower one.
__device__ inline double median(int count, Image low, Image high)
{
    bool lower = COMBINE == COMBINE_LOWER_MEDIAN || (COMBINE == COMBINE_LMEDIAN && count == 2);
    return lower ? widen(low) : midpoint(low, high);
}

// The standard deviation of the mean, for samples that are standard deviations.
template <class Column>
__device__ inline double quadrature(const Column& column)
{
    return sqrt(column.sum([](double x) { return x * x; })) / column.count();
}

struct Result {
    double value, uncertainty;
};

// The unweighted value of a column and its uncertainty; what both need is computed once. Medians in
// the place of samples count in a mean.
template <class Column>
__device__ inline Result reduce(const Column& column, const StandIns& stand_ins = StandIns())
{
    const int count = column.count();
    if (count == 0)
        return {COMBINE == COMBINE_SUM ? 0 : NOT_A_NUMBER, NOT_A_NUMBER};
    const bool weighted = WEIGHTED != WEIGHTED_NOT;
    Image low = 0, high = 0;
    if (IS_MEDIAN || SPREAD == SPREAD_MAD)
        column.middle(low, high);
    Total sums;
    if (SPREAD == SPREAD_STD
        || (!weighted && (COMBINE == COMBINE_MEAN || COMBINE == COMBINE_SUM)))
        sums = total(column);

    double value = REPLACES ? stand_ins.mean(sums, count) : sums.mean(count);
    if (IS_MEDIAN)
        value = median(count, low, high);
    else if (IS_QUADRATURE && !weighted)
        value = quadrature(column);
    else if (COMBINE == COMBINE_SUM)
        value = sums.sum(count);
    else if (COMBINE == COMBINE_MIN)
        value = widen(column.lowest());
    else if (COMBINE == COMBINE_MAX)
        value = widen(column.highest());

    if (SPREAD == SPREAD_NONE)
        return {value, 0};
    double spread = 0;
    if (SPREAD == SPREAD_STD)
        spread = standard_deviation(column, sums.mean(count), 0);
    if constexpr (Column::RANKED)
        spread = SPREAD == SPREAD_MAD ? mad(column, low, high) * MAD_TO_STD : spread;
    double root = sqrt(double(count));
    return {value, COMBINE == COMBINE_SUM ? spread * root : spread / root};
}
