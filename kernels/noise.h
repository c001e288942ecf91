// The noise of a CCD.
#pragma once

#include "abi.h"

// The standard deviation of a CCD's noise at this level; negative levels count as 0.
__device__ inline double ccd_noise(const Clip& clip, double level)
{
    double signal = fmax(level, 0.0), read = clip.rdnoise / clip.gain;
    double sensitivity = clip.snoise * signal;
    return sqrt(read * read + signal / clip.gain + sensitivity * sensitivity);
}
