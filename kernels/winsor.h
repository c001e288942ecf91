// A standard deviation that outliers can hardly enlarge.
// Reference: Huber and Ronchetti, Robust Statistics, 2009, 1.7.
#pragma once

#include "reduce.h"

// The same numbers as in gpustack/clips/siril.py; a test compares them.
#define WINSOR_CUTOFF 1.5
#define WINSOR_FACTOR 1.134
#define WINSOR_SETTLED 0.0005
#define WINSOR_ROUNDS 50

// The standard deviation of the survivors, with those further than `reach` from the median pulled
// in to that distance.
template <class Column>
__device__ inline double pulled_in(const Column& column, double median, double reach)
{
    const int count = column.count();
    auto away = [=](double x) { return fmin(fmax(x - median, -reach), reach); };
    double mean = column.sum(away) / count;
    double squares = column.sum([=](double x) {
        double off = away(x) - mean;
        return off * off;
    });
    return sqrt(squares / (count - 1));
}

template <class Column>
__device__ inline double winsorized_spread(const Column& column, double median)
{
    if (column.count() < 2)
        return NOT_A_NUMBER;
    double reach = ENDLESS, spread = pulled_in(column, median, reach);
#pragma unroll 1
    for (int round = 0; round < WINSOR_ROUNDS; ++round) {
        // Pulling in samples again and again is the same as doing so once, to the shortest reach.
        reach = fmin(reach, WINSOR_CUTOFF * spread);
        double was = spread;
        spread = WINSOR_FACTOR * pulled_in(column, median, reach);
        if (fabs(spread - was) <= WINSOR_SETTLED * was)
            break;
    }
    return spread;
}
