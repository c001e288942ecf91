// Which samples survive, for a look at unsorted samples: decided by value and frame.
#pragma once

#include "number.h"

// The survivors of a column are its samples from `low` to `high`, except where a rank clip has cut
// between equal samples: of the samples equal to `low`, the first `skip` in the order of frames are
// out, of those equal to `high`, all but the first `take`. So `inside` has to be called in the
// order of frames.
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
