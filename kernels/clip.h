// Run a clip, whatever its kind, on a column.
#pragma once

#include "bounds.h"
#include "by_frame.h"
#include "esd.h"
#include "extrema.h"
#include "replace.h"

template <class Column>
__device__ inline void run_clip(
    const Task& task, const Place& place, const Clip& clip, Column& column, Rejected& rejected)
{
    if (clip.kind == CLIP_BOUNDS)
        clip_bounds(clip, column);
    else if (EVERY_CLIP && clip.kind == CLIP_ESD)
        clip_esd(clip, column);
    else if (BY_FRAME && clip.kind == CLIP_BY_FRAME)
        clip_by_frame(task, place, clip, column, rejected);
    else if (clip.kind != CLIP_RANGE)
        clip_extrema(task, place, clip, column);
    else if (column.count() > 0)
        column.narrow_to(range_of(clip));
}
