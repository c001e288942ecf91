// Clips that judge each sample by the noise of its own frame or row, or by its own rank.
//
// Their survivors are not an interval of ranks. So samples that they reject are removed from the
// sorted column and marked in the map of reasons, which every later look at the samples of a pixel
// takes into account.
#pragma once

#include "keep.h"
#include "load.h"
#include "spreads.h"

// A sum that is correct to the last bit except in very rare cases, whatever the order of its terms.
struct Exact {
    double sum = 0, rest = 0;

    __device__ void add(double term)
    {
        double total = sum + term, part = total - sum;
        rest += (sum - (total - part)) + (term - part);
        sum = total;
    }

    __device__ double value() const { return sum + rest; }
};

// Call `visit(f, image)` with every survivor.
template <class Column, class Visit>
__device__ inline void each_survivor(
    const Task& task, const Place& place, const Column& column, const Visit& visit)
{
    Members members = column.members();
    each_sample<1>(task, place, [&](int f, Sample seen) {
        if (members.inside(seen.image))
            visit(f, seen.image);
    });
}

template <class Column>
__device__ inline double center_of(const Clip& clip, const Column& column, int pass)
{
    if (clip.center == CENTER_MEDIAN) {
        Image low, high;
        column.middle(low, high);
        return midpoint(low, high);
    }
    const bool trims = pass == 0 || clip.spread == SPREAD_NOISE;
    if (clip.center == CENTER_TRIMMED && trims)
        return trimmed_mean(column);
    return total(column).mean(column.count());
}

// The standard deviation of a sample of this frame at the level of the centre, per unit of the
// `spread` of `Judge`.
__device__ inline double own_noise(
    const Clip& clip, const Frame& frame, const Place& place, double center)
{
    const bool normal = NORMALIZE == NORMALIZE_EARLY;
    const double scale = normal ? frame.scale : 1, zero = normal ? frame.zero : 0;
    if (clip.spread == SPREAD_POISSON || clip.spread == SPREAD_ROW)
        return sqrt(fmax(1.0, (center + zero * scale) * scale));
    if (clip.spread == SPREAD_NOISE)
        return fabs(scale) * ccd_noise(clip, center / scale + zero);
    return sqrt(fetch<double>(frame.variance, frame.variance_stride, place)) * fabs(scale);
}

// A line through the survivors as a function of rank; `at_first` is its value at the lowest one.
struct Line {
    double slope = 0, at_first = 0, spread = 0;

    __device__ double off(int rank, Image image, double origin) const
    {
        return widen(image) - origin - (slope * rank + at_first);
    }
};

// Samples lie on a line, but for rounding, if their mean distance is at most this share of their
// range.
#define EXACT_FIT 0x1p-40

template <class Column>
__device__ inline Line line_through(const Task& task, const Place& place, const Column& column)
{
    Line line;
    const int n = column.count();
    const double origin = widen(column.lowest()), middle = (n - 1) * 0.5;
    if (n < 3) {
        line.spread = NOT_A_NUMBER;
        return line;
    }
    Exact products, level, distance;
    column.each_rank(task, place, [&](int rank, Image image) {
        double above = widen(image) - origin;
        level.add(above);
        products.add((rank - middle) * above);
    });
    line.slope = products.value() / (n * (double(n) * n - 1) / 12);
    line.at_first = level.value() / n - line.slope * middle;
    column.each_rank(task, place, [&](int rank, Image image) {
        distance.add(fabs(line.off(rank, image, origin)));
    });
    line.spread = distance.value() / n;
    if (line.spread <= EXACT_FIT * (widen(column.highest()) - origin))
        line.spread = NOT_A_NUMBER;
    return line;
}

// The least unit in which a distance is measured. A unit is 0 where there is no noise; samples
// without noise too are restored nearest first, after those with noise.
#define LEAST_UNIT 0x1p-500

// How one pass of a clip judges samples.
template <class Column>
struct Judge {
    const Task& task;
    const Place& place;
    const Clip& clip;
    const Column& column;
    double center = 0, spread = 1;
    Line line;

    __device__ Judge(const Task& a_task, const Place& a_place, const Clip& a_clip,
        const Column& a_column, int pass)
        : task(a_task), place(a_place), clip(a_clip), column(a_column)
    {
        if (clip.spread == SPREAD_LINE) {
            line = line_through(task, place, column);
            center = widen(column.lowest());
            return;
        }
        center = center_of(clip, column, pass);
        if (clip.spread == SPREAD_POISSON)
            spread = poisson_spread();
        if (clip.spread == SPREAD_ROW)
            spread = row_spread();
    }

    // The noise of the row that the pixel is in; NaN for fewer than three samples, too few to judge
    // by.
    __device__ double row_spread() const
    {
        const double* rows = (const double*)clip.table;
        return column.count() < 3 ? NOT_A_NUMBER : __ldg(rows + place.pixel / task.width);
    }

    // The standard deviation in units of each frame's noise.
    __device__ double poisson_spread() const
    {
        const int degrees = column.count() - clip.ddof;
        if (degrees <= 0)
            return NOT_A_NUMBER;
        double about = clip.about == ABOUT_CENTER ? center : total(column).mean(column.count());
        Exact squares;
        each_survivor(task, place, column, [&](int f, Image image) {
            double off = (widen(image) - about) / own_noise(clip, task.frames[f], place, center);
            squares.add(off * off);
        });
        return sqrt(squares.value() / degrees);
    }

    // How far a sample is from its expected value, and the unit for that.
    struct Distance {
        double off, unit;
        Fate fate;

        __device__ double away() const { return fabs(off) / fmax(unit, LEAST_UNIT); }
    };

    __device__ Distance distance(double value, double center, double unit) const
    {
        Fate fate = VALID;
        if (clip.has_low && value < center - clip.low * unit)
            fate = BELOW;
        if (clip.has_high && value > center + clip.high * unit)
            fate = ABOVE;
        return {value - center, unit, fate};
    }

    __device__ Distance by_rank(int rank, Image image) const
    {
        return distance(line.off(rank, image, center), 0, line.spread);
    }

    __device__ Distance by_frame(int f, Image image) const
    {
        if (clip.spread == SPREAD_LINE)
            return by_rank(column.rank_of(task, place, f, image), image);
        return distance(
            widen(image), center, spread * own_noise(clip, task.frames[f], place, center));
    }

    // Call `visit` with every survivor's distance.
    template <class Visit>
    __device__ void each(const Visit& visit) const
    {
        if (clip.spread == SPREAD_LINE)
            column.each_rank(
                task, place, [&](int rank, Image image) { visit(by_rank(rank, image)); });
        else
            each_survivor(
                task, place, column, [&](int f, Image image) { visit(by_frame(f, image)); });
    }

    // The distance up to which samples outside the bounds are restored, so that `least` are left
    // where `kept` are within bounds: the nearest ones, those at equal distance together.
    __device__ double reach(int kept, int least) const
    {
        double reached = -1;
        while (kept < least) {
            double next = ENDLESS;
            int ties = 0;
            each([&](Distance found) {
                double away = found.away();
                if (found.fate == VALID || !(away > reached))
                    return;
                ties = away < next ? 1 : ties + (away == next);
                next = fmin(next, away);
            });
            if (ties == 0)
                break;
            kept += ties;
            reached = next;
        }
        return reached;
    }
};

// Mark the samples of a pixel that are further out than `reach`; then remove all of them at once
// from the column, which has to tell their ranks until then.
template <class Column>
__device__ inline Rejected take_out(const Judge<Column>& judge, Column& column, double reach)
{
    const Task& task = judge.task;
    Byte* reasons = (Byte*)task.out.reasons + judge.place.pixel;
    Rejected gone;
    each_survivor(task, judge.place, column, [&](int f, Image image) {
        auto found = judge.by_frame(f, image);
        if (found.fate == VALID || found.away() <= reach)
            return;
        reasons[f * task.pixels] = LEAVING;
        gone.count(found.fate);
    });
    column.remove(task, judge.place, gone.below + gone.above);
    for (int f = 0; f < task.count(); ++f)
        if (reasons[f * task.pixels] == LEAVING)
            reasons[f * task.pixels] = REASON_CLIP;
    return gone;
}

template <class Column>
__device__ inline void clip_by_frame(
    const Task& task, const Place& place, const Clip& clip, Column& column, Rejected& rejected)
{
    const int least = least_kept(clip, column.count());
    for (int pass = 0; column.count() > 0 && pass != clip.maxiters; ++pass) {
        const Judge<Column> judge(task, place, clip, column, pass);
        int out = 0;
        judge.each([&](typename Judge<Column>::Distance found) { out += found.fate != VALID; });
        if (out == 0)
            break;
        const int kept = column.count() - out;
        const double reach = kept < least ? judge.reach(kept, least) : -1;
        Rejected gone = take_out(judge, column, reach);
        rejected.below += gone.below;
        rejected.above += gone.above;
        if (kept < least)
            break;
    }
}
