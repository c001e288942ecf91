// Clips that reject samples outside of two bounds, which are computed from the survivors.
#pragma once

#include "keep.h"
#include "spreads.h"

// The next larger and the next smaller number that a sample can be, for bounds that also reject
// samples equal to them. NaN stays NaN: as a float on a device, it has the largest of all images,
// which has no next one.
__device__ inline double just_above(double bound)
{
    Image next = narrow<REAL>(bound);
    return bound != bound ? bound : widen_any(widen_any(next) > bound ? next : next + 1);
}

__device__ inline double just_below(double bound)
{
    Image next = narrow<REAL>(bound);
    return bound != bound ? bound : widen_any(widen_any(next) < bound ? next : next - 1);
}

template <class Column>
__device__ inline WiderBounds bounds_of(const Clip& clip, const Column& column, int pass)
{
    const bool mad_based = clip.spread == SPREAD_MAD || (EVERY_CLIP && clip.spread == SPREAD_RAW_MAD);
    const bool about_center = EVERY_CLIP && clip.about == ABOUT_CENTER;
    Image low = 0, high = 0;
    if (clip.center == CENTER_MEDIAN || mad_based)
        column.middle(low, high);
    double average = 0;
    if (clip.center == CENTER_MEAN || (clip.spread == SPREAD_STD && !about_center))
        average = total(column).mean(column.count());
    double center = clip.center == CENTER_MEAN ? average : midpoint(low, high);
    if (EVERY_CLIP && clip.center == CENTER_TRIMMED) {
        bool trims = pass == 0 || clip.spread == SPREAD_NOISE;
        center = trims ? trimmed_mean(column) : total(column).mean(column.count());
    }

    double spread = 0;
    if (mad_based)
        spread = mad(column, low, high) * (clip.spread == SPREAD_MAD ? MAD_TO_STD : 1);
    else if (!EVERY_CLIP || clip.spread == SPREAD_STD)
        spread = standard_deviation(column, about_center ? center : average, clip.ddof);
    else
        spread = other_spread(clip, column, center);
    double lower = clip.has_low ? center - clip.low * spread : -ENDLESS;
    double upper = clip.has_high ? center + clip.high * spread : ENDLESS;
    if (EVERY_CLIP && clip.spread == SPREAD_RANK)
        return {{just_above(lower), just_below(upper)}, center, 0};
    return {{lower, upper}, center, 0};
}

template <class Column>
__device__ inline void clip_bounds(const Clip& clip, Column& column)
{
    const int least = EVERY_CLIP ? least_kept(clip, column.count()) : 0;
    for (int pass = 0; column.count() > 0 && pass != clip.maxiters; ++pass) {
        WiderBounds found = bounds_of(clip, column, pass);
        const Bounds bounds = found;
        if (EVERY_CLIP && least > 0) {
            Ranks inside = column.within(bounds);
            if (inside.count() < least) {
                found.reach = reach_of(column, inside, found.center, least);
                column.narrow_to(found);
                break;
            }
        }
        if (!column.narrow_to(bounds))
            break;
    }
}
