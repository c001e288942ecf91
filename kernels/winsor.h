// A standard deviation that outliers can hardly enlarge.
// Reference: Huber and Ronchetti, Robust Statistics, 2009, 1.7.
#pragma once

#include "reduce.h"

// As in gpustack/clips/siril.py; a test compares them.
#define WINSOR_CUTOFF 1.5
#define WINSOR_FACTOR 1.134
#define WINSOR_SETTLED 0.0005
#define WINSOR_ROUNDS 50

// The standard deviation of the survivors, those out of [lower, upper] pulled in to it.
template <class Column>
__device__ inline double clamped_deviation(const Column& column, double lower, double upper)
{
    const int count = column.count();
    const double origin = PIVOTED ? column.pivot() : 0;
    auto clamped = [=](double x) { return fmin(fmax(x, lower), upper); };
    double average = origin + column.sum([=](double x) { return clamped(x) - origin; }) / count;
    double squares = column.sum([=](double x) {
        double off = clamped(x) - average;
        return off * off;
    });
    return sqrt(squares / (count - 1));
}

template <class Column>
__device__ inline double winsorized_spread(const Column& column, double median)
{
    if (column.count() < 2)
        return NOT_A_NUMBER;
    const double infinity = widen(INVALID);
    double lower = -infinity, upper = infinity;
    double spread = clamped_deviation(column, lower, upper);
    if (spread == 0)
        return NOT_A_NUMBER;
#pragma unroll 1
    for (int round = 0; round < WINSOR_ROUNDS; ++round) {
        // What was pulled in stays so: each round begins with the result of the one before.
        lower = fmax(lower, median - WINSOR_CUTOFF * spread);
        upper = fmin(upper, median + WINSOR_CUTOFF * spread);
        double was = spread;
        spread = WINSOR_FACTOR * clamped_deviation(column, lower, upper);
        if (fabs(spread - was) <= WINSOR_SETTLED * was)
            break;
    }
    return spread;
}
