// Which samples survive: a look at unsorted samples, by value and frame.
#pragma once

#include "number.h"

// The survivors of a column are its samples from `low` to `high`, but where a rank clip cut
// between equal samples: of those equal to `low` the first `skip` frames are out, of those
// equal to `high` all but the first `take`. Ask about frames in order.
struct Members {
    Image low = -LARGEST, high = INVALID - 1;
    int skip = 0, take = 0x7fffffff;

    __device__ bool inside(Image value)
    {
        bool above = value > low || (value == low && skip-- <= 0);
        bool below = value < high || (value == high && take-- > 0);
        return above && below;
    }

    __device__ static Members none() { return {INVALID, -LARGEST, 0, 0}; }
};
