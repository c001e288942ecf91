// The generalised extreme Studentised deviate test.
// Reference: Rosner, Technometrics 25, 165 (1983).
#pragma once

#include "keep.h"
#include "reduce.h"

// Set the sample furthest from the mean aside, again and again. The last one that is further than
// its critical value is rejected, and so are all that were set aside before it.
template <class Column>
__device__ inline void clip_esd(const Clip& clip, Column& column)
{
    const double* critical = (const double*)clip.table;
    const int count = column.count();
    // 0.29 * 100 is a little less than 29, and would be cut to 28.
    const int share = int(clip.outliers * count + 1e-9);
    const int most = min(share, count - least_kept(clip, count));
    Column rest = column;
    int lo = column.lo, hi = column.hi;
#pragma unroll 1
    for (int aside = 0; aside < most && rest.count() >= 3; ++aside) {
        if (rest.lowest() == rest.highest())
            break;
        const int n = rest.count();
        double average = total(rest).mean(n);
        double spread = standard_deviation(rest, average, 1);
        double below = average - widen(rest.lowest()), above = widen(rest.highest()) - average;
        bool highest = above >= below;
        rest.drop(highest);
        if ((highest ? above : below) / spread > __ldg(critical + n)) {
            lo = rest.lo;
            hi = rest.hi;
        }
    }
    column.cut(lo, hi);
}
