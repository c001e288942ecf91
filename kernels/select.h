// Finding a rank among values that can only be visited.
//
// By bisection over their images: each pass counts the values up to three trial values, so
// that two bits of the answer are known after it.
#pragma once

#include "number.h"

// The images of two neighbours in rank.
template <class Float>
struct Pair {
    typename Number<Float>::Image first, second;
};

// The least value, of those in [first, last], that more than `rank` of the values do not
// exceed; and that for the next rank. `each` calls a function with every value.
template <class Float, class Each>
__device__ inline Pair<Float> select(typename Number<Float>::Image first,
    typename Number<Float>::Image last, int rank, const Each& each)
{
    typedef typename Number<Float>::Image Image;
    typedef typename Number<Float>::Word Unsigned;
    while (first < last) {
        Unsigned from = Unsigned(first), step = (Unsigned(last) - from) >> 2;
        Image trial[3] = {Image(from + step), Image(from + 2 * step), Image(from + 3 * step)};
        int upto[3] = {0, 0, 0};
        each([&](Image value) {
            for (int i = 0; i < 3; ++i)
                upto[i] += value <= trial[i];
        });
        for (int i = 2; i >= 0; --i)
            last = upto[i] > rank ? trial[i] : last;
        for (int i = 0; i < 3; ++i)
            first = upto[i] > rank ? first : trial[i] + 1;
    }
    int upto = 0;
    Image next = Number<Float>::INFINITE;
    each([&](Image value) {
        upto += value <= first;
        next = value > first ? min(next, value) : next;
    });
    return {first, upto > rank + 1 ? first : next};
}
