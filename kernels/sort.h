// Sorting a column in registers.
#pragma once

#include "number.h"

// The most samples of a column that are in registers at once.
static constexpr int IN_REGISTERS = sizeof(REAL) == 4 ? 128 : 64;

template <class T>
__device__ inline void exchange(T& a, T& b)
{
    T smaller = min(a, b);
    b = max(a, b);
    a = smaller;
}

// Batcher's merge exchange. One round compares ranks i and i + D where i & P == R. P, Q, R
// and D are template arguments because loops whose bounds depend on other loops do not unroll.
// Reference: Knuth, The Art of Computer Programming 3, 5.2.2, algorithm M.
template <int TOP, int P, int Q, int R, int D, class T, int COUNT>
__device__ inline void merge_rounds(T (&v)[COUNT])
{
#pragma unroll
    for (int i = 0; i < COUNT - D; ++i)
        if ((i & P) == R)
            exchange(v[i], v[i + D]);
    if constexpr (Q > P)
        merge_rounds<TOP, P, Q / 2, P, Q - P>(v);
    else if constexpr (P > 1)
        merge_rounds<TOP, P / 2, TOP, 0, P / 2>(v);
}

__device__ constexpr int largest_power_below(int count)
{
    int power = 1;
    while (2 * power < count)
        power *= 2;
    return power;
}

template <class T, int COUNT>
__device__ inline void sort(T (&v)[COUNT])
{
    constexpr int TOP = largest_power_below(COUNT);
    if constexpr (COUNT > 1)
        merge_rounds<TOP, TOP, TOP, 0, TOP>(v);
}
