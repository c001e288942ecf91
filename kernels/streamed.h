// Columns of any number of samples, which are read again for every statistic.
#pragma once

#include "column.h"
#include "load.h"
#include "select.h"

// The samples of a pixel as clips see them or, after the clips, the values that the survivors are
// combined as.
struct Source {
    const Task& task;
    const Place& place;
    bool late;
    Members members;    // the survivors, where `late`

    // Call `visit` with the image of every frame's sample, which may be INVALID.
    template <int COPIES = ONE_COPY, class Visit>
    __device__ void each(const Visit& visit) const
    {
        Members left = members;
        each_sample<TOGETHER, COPIES>(task, place, [&](int f, Sample seen) {
            Image value = seen.image;
            if (IS_LATE && late)
                value = left.inside(value) ? late_image(task, place, f, value) : INVALID;
            visit(value);
        });
    }

    // Call `visit(i, image)` with samples of GATHERED evenly spaced frames, to take trials from.
    template <class Visit>
    __device__ void some(const Visit& visit) const
    {
#pragma unroll 1
        for (int i = 0; i < GATHERED; ++i) {
            int f = int((long long)task.count() * i / GATHERED);
            Image value = sample_of(task, place, f).image;
            if (IS_LATE && late)
                value = value >= members.low && value <= members.high
                    ? late_image(task, place, f, value) : INVALID;
            visit(i, value);
        }
    }
};

// All samples, with the interface that `select` needs.
template <int COPIES>
struct AllOf {
    const Source& source;

    template <class Visit>
    __device__ void each(const Visit& visit) const { source.each<COPIES>(visit); }

    template <class Visit>
    __device__ void some(const Visit& visit) const { source.some(visit); }
};

// The distances of the survivors from the two middle ones, with the interface that `select` needs.
template <int COPIES>
struct Deviations {
    const Source& source;
    Members members;
    double lower, upper;

    __device__ long long of(Image image) const
    {
        double value = widen(image);
        return __double_as_longlong(value <= lower ? lower - value : value - upper);
    }

    template <class Visit>
    __device__ void each(const Visit& visit) const
    {
        Members left = members;
        source.each<COPIES>([&](Image image) {
            if (image != INVALID && left.inside(image))
                visit(of(image));
        });
    }

    template <class Visit>
    __device__ void some(const Visit& visit) const
    {
        source.some([&](int i, Image image) {
            bool inside = image >= members.low && image <= members.high;
            visit(i, inside ? of(image) : Number<double>::LARGEST);
        });
    }
};

struct Streamed : Interval {
    static constexpr bool RANKED = true;
    Source source;
    Members ends;

    __device__ explicit Streamed(const Source& samples) : source(samples) { begin(); }

    // Start again with all valid samples as survivors.
    __device__ void begin()
    {
        ends = Members::none();
        valid = lo = 0;
        all([&](Image value) {
            ++valid;
            ends.low = min(ends.low, value);
            ends.high = max(ends.high, value);
        });
        ends.take = hi = valid;
    }

    // Call `visit` with every valid sample.
    template <class Visit>
    __device__ void all(const Visit& visit) const
    {
        source.each([&](Image value) {
            if (value != INVALID)
                visit(value);
        });
    }

    template <class Visit>
    __device__ void survivors(const Visit& visit) const
    {
        Members members = ends;
        all([&](Image value) {
            if (members.inside(value))
                visit(value);
        });
    }

    __device__ Image lowest() const { return ends.low; }
    __device__ Image highest() const { return ends.high; }
    __device__ double pivot() const { return widen(ends.low); }
    __device__ Members members() const { return count() ? ends : Members::none(); }

    template <class Term>
    __device__ double sum(const Term& term) const
    {
        double result = 0;
        survivors([&](Image value) { result += term(widen(value)); });
        return result;
    }

    // The rank, among the survivors, of the sample of a frame.
    __device__ int rank_of(const Task& task, const Place& place, int frame, Image image) const
    {
        int rank = -lo;
        each_sample<1>(task, place, [&](int f, Sample seen) {
            rank += seen.image < image || (seen.image == image && f < frame);
        });
        return rank;
    }

    // Call `visit(rank, image)` with every survivor, in the order of frames. To find the rank of
    // each takes a look at all samples.
    template <class Visit>
    __device__ void each_rank(const Task& task, const Place& place, const Visit& visit) const
    {
        Members members = ends;
        each_sample<1>(task, place, [&](int f, Sample seen) {
            if (members.inside(seen.image))
                visit(rank_of(task, place, f, seen.image), seen.image);
        });
    }

    // Remove the `count` survivors that are marked as LEAVING.
    __device__ void remove(const Task& task, const Place& place, int count)
    {
        const int low = lo, high = hi - count;
        for (int f = 0; f < task.count(); ++f) {
            Byte& reason = ((Byte*)task.out.reasons)[f * task.pixels + place.pixel];
            if (reason == LEAVING)
                reason = REASON_CLIP;
        }
        begin();
        cut(low, high);
    }

    __device__ Image at(int rank) const { return from(rank).first; }

    // The values of a rank and of the next one. With all clips, ranks are looked up in so many
    // places that the faster way, which is more code, would use local memory.
    __device__ Pair<REAL> from(int rank) const
    {
        const Ends<REAL> all{ends.low, ends.high, lo - ends.skip, hi};
        if (EVERY_CLIP)
            return select_by_quarters(all, rank, AllOf<ONE_COPY>{source});
        return select(all, rank, AllOf<TOGETHER>{source});
    }

    __device__ void middle(Image& lower, Image& upper) const
    {
        Pair<REAL> pair = from((lo + hi - 1) >> 1);
        lower = pair.first;
        upper = count() & 1 ? pair.first : pair.second;
    }

    // The median deviation from the middle samples: the mean of the two middle deviations.
    __device__ double deviation(double lower, double upper) const
    {
        double most = fmax(lower - widen(ends.low), widen(ends.high) - upper);
        Ends<double> all{0, __double_as_longlong(most), 0, count()};
        const int rank = (count() - 1) >> 1;
        Pair<double> pair;
        if (EVERY_CLIP)
            pair = select_by_quarters(all, rank, Deviations<ONE_COPY>{source, ends, lower, upper});
        else
            pair = select(all, rank, Deviations<TOGETHER>{source, ends, lower, upper});
        double nearest = widen(pair.first);
        return count() & 1 ? nearest : (nearest + widen(pair.second)) * 0.5;
    }

    __device__ int below(Image bound) const
    {
        int result = 0;
        all([&](Image value) { result += value < bound; });
        return result;
    }

    // Keep only the survivors among ranks [low, high).
    __device__ void cut(int low, int high)
    {
        int was_lo = lo, was_hi = hi;
        Interval::cut(low, high);
        if (count() == 0)
            return;
#pragma unroll 1
        for (int side = 0; side < 2; ++side) {
            Image end = side ? ends.high : ends.low;
            if (side ? hi != was_hi : lo != was_lo)
                end = at(side ? hi - 1 : lo);
            int under = below(end);
            if (side)
                ends.high = end, ends.take = hi - under;
            else
                ends.low = end, ends.skip = lo - under;
        }
    }

    // The ranks of the survivors within some bounds.
    template <class Limits>
    __device__ Ranks within(const Limits& bounds) const
    {
        int under = 0, upto = 0;
        all([&](Image value) {
            under += bounds.is_low(widen(value));
            upto += !bounds.is_high(widen(value));
        });
        int first = min(max(under, lo), hi);
        return {first, max(min(upto, hi), first)};
    }

    // Reject the highest or the lowest survivor. If it was the last one of its value, the end moves
    // on.
    __device__ void drop(bool highest)
    {
        const Image end = highest ? ends.high : ends.low;
        int under = 0, upto = 0;
        Members next = Members::none();
        all([&](Image value) {
            under += value < end;
            upto += value <= end;
            next.low = value > end ? min(next.low, value) : next.low;
            next.high = value < end ? max(next.high, value) : next.high;
        });
        lo += !highest;
        hi -= highest;
        if (highest)
            ends.high = hi > under ? end : next.high, ends.take = hi > under ? hi - under : valid;
        else
            ends.low = lo < upto ? end : next.low, ends.skip = lo < upto ? lo - under : 0;
    }

    // Keep only the survivors within some bounds; returns whether any was rejected.
    template <class Limits>
    __device__ bool narrow_to(const Limits& bounds)
    {
        bool low = bounds.is_low(widen(ends.low)), high = bounds.is_high(widen(ends.high));
        if (count() == 0 || !(low || high))
            return false;
        int under = 0, upto = 0;
        Members inside = Members::none();
        all([&](Image value) {
            bool is_low = bounds.is_low(widen(value)), is_high = bounds.is_high(widen(value));
            under += is_low;
            upto += !is_high;
            inside.low = is_low ? inside.low : min(inside.low, value);
            inside.high = is_high ? inside.high : max(inside.high, value);
        });
        Interval::cut(low ? under : lo, high ? upto : hi);
        if (low)
            ends.low = inside.low, ends.skip = 0;
        if (high)
            ends.high = inside.high, ends.take = valid;
        return true;
    }
};
