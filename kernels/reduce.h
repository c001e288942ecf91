// Statistics of the survivors of a column, in double, and what becomes of them.
#pragma once

#include "column.h"

// 1 / (quantile of the normal distribution at 3/4): from MAD to standard deviation.
#define MAD_TO_STD 1.482602218505602
#define NOT_A_NUMBER __longlong_as_double(0x7ff8000000000000)

__device__ inline double midpoint(Image low, Image high)
{
    return (widen(low) + widen(high)) * 0.5;
}

template <class Column>
__device__ inline double mean(const Column& column)
{
    double origin = PIVOTED ? column.pivot() : 0;
    return origin + column.total(origin) / column.count();
}

template <class Column>
__device__ inline double sum(const Column& column)
{
    double origin = PIVOTED ? column.pivot() : 0;
    return origin * column.count() + column.total(origin);
}

// The standard deviation about the mean; NaN for `ddof` samples or fewer.
template <class Column>
__device__ inline double standard_deviation(const Column& column, double average, int ddof)
{
    int degrees = column.count() - ddof;
    return degrees > 0 ? sqrt(column.squares(average) / degrees) : NOT_A_NUMBER;
}

// From the two middle samples, which are one where the count is odd.
template <class Column>
__device__ inline double mad_std(const Column& column, Image low, Image high)
{
    double half_gap = widen(difference(high, low)) * 0.5;
    return (half_gap + column.deviation(low, high)) * MAD_TO_STD;
}

struct Result {
    double value, uncertainty;
};

template <class Column>
__device__ inline double combined(const Column& column)
{
    if (COMBINE == COMBINE_MEDIAN) {
        Image low, high;
        column.middle(low, high);
        return midpoint(low, high);
    }
    if (COMBINE == COMBINE_MIN)
        return widen(column.lowest());
    if (COMBINE == COMBINE_MAX)
        return widen(column.highest());
    return COMBINE == COMBINE_SUM ? sum(column) : mean(column);
}

template <class Column>
__device__ inline double uncertainty(const Column& column)
{
    double spread = 0;
    if constexpr (Column::RANKED) {
        if (SPREAD == SPREAD_MAD) {
            Image low, high;
            column.middle(low, high);
            spread = mad_std(column, low, high);
        }
    }
    if (SPREAD == SPREAD_STD)
        spread = standard_deviation(column, mean(column), 0);
    double root = sqrt(double(column.count()));
    return COMBINE == COMBINE_SUM ? spread * root : spread / root;
}

// The unweighted value of a column and its uncertainty.
template <class Column>
__device__ inline Result reduce(const Column& column)
{
    if (column.count() == 0)
        return {COMBINE == COMBINE_SUM ? 0 : NOT_A_NUMBER, NOT_A_NUMBER};
    return {
        WEIGHTED == WEIGHTED_NOT ? combined(column) : 0,
        SPREAD == SPREAD_NONE ? 0 : uncertainty(column),
    };
}
