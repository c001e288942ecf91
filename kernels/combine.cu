// Combine one band of frames to one image: a whole recipe in one kernel, one thread for each pixel.
//
// decode -> range -> normalise -> sort -> clips -> combine -> uncertainty -> counts
// See README.md for axes, masks, NaN rules and the names that -D gives.
#include "blocks.h"
#include "clip.h"
#include "look.h"
#include "parked.h"
#include "sort.h"
#include "streamed.h"

template <class T>
__device__ inline void put(unsigned long long map, long long pixel, T value)
{
    if (map)
        ((T*)map)[pixel] = value;
}

__device__ inline void put_real(unsigned long long map, long long pixel, double value)
{
    put<Number<OUT>::Word>(map, pixel, bits<OUT>(narrow<OUT>(value)));
}

__device__ inline void put_counts(
    const Out& out, long long pixel, const Interval& column, Rejected rejected)
{
    put<int>(out.count, pixel, column.count());
    put<int>(out.low, pixel, rejected.below + column.lo);
    put<int>(out.high, pixel, rejected.above + column.valid - column.hi);
}

// Write the value of a pixel: with weights, it comes from the sums of the second look.
__device__ inline void put_result(
    const Out& out, long long pixel, int count, Result result, Weighted sums)
{
    bool empty = count == 0 || (WEIGHTED && sums.weights == 0);
    double value = WEIGHTED ? value_of(sums) : result.value;
    if (empty)
        value = COMBINE == COMBINE_SUM ? 0 : NOT_A_NUMBER;
    put_real(out.data, pixel, value);
    if (SPREAD != SPREAD_NONE)
        put_real(out.uncertainty, pixel, WEIGHTED && empty ? NOT_A_NUMBER : result.uncertainty);
    put<Byte>(out.mask, pixel, empty);
}

// Write all maps of a pixel, after a second look at its samples where one is needed.
__device__ inline void put_all(const Task& task, const Place& place, const Interval& column,
    Members members, Rejected rejected, Result result, Tallies& tallies)
{
    put_counts(task.out, place.pixel, column, rejected);
    Weighted sums;
    if (looks_again(task, column.count()))
        sums = look(task, place, members, tallies);
    put_result(task.out, place.pixel, column.count(), result, sums);
}

// Run the clips; returns what the last one puts in the place of samples, if it replaces any.
template <class Column>
__device__ inline StandIns run_clips(
    const Task& task, const Place& place, Column& column, Rejected& rejected)
{
    const int last = task.nclips - REPLACES;
    for (int i = task.raw_ranges; i < last; ++i)
        run_clip(task, place, task.clips[i], column, rejected);
    return REPLACES ? replace_outliers(task.clips[last], column) : StandIns();
}

// Clips, value and maps of a column in which ranks can be looked up. `late(members, count)`
// computes the value where survivors are not combined as the clips saw them.
template <class Column, class Late>
__device__ __forceinline__ void run_ranked(const Task& task, const Place& place, Column& column,
    Rejected& rejected, Tallies& tallies, const Late& late)
{
    StandIns stand_ins;
    if (CLIPPED)
        stand_ins = run_clips(task, place, column, rejected);
    const Members members = column.members();
    const Interval interval = column;
    Result result;
    if (IS_LATE)
        result = late(members, interval.count());
    else
        result = reduce(column, stand_ins);
    put_all(task, place, interval, members, rejected, result, tallies);
}

// --- up to 128 float32, 64 float64: samples are read once, into registers ----------------

// Read the samples of a pixel; masked and blank ones become INVALID. The addresses are arguments,
// which take no register as long as nothing else is needed of a frame.
template <int COUNT>
__device__ inline void load(
    const Task& task, const Planes<COUNT>& planes, const Place& place, Image (&v)[COUNT])
{
#pragma unroll
    for (int f = 0; f < COUNT; ++f) {
        Word word = __ldg((const Word*)planes.data[f] + place.pixel);
        word = SWAP ? swapped(word) : word;
        bool masked = MASKED && planes.mask[f]
            && __ldg((const Byte*)planes.mask[f] + place.pixel) != 0;
        bool out = masked || is_blank(task.frames[f], word);
        v[f] = out ? INVALID : decode(task.frames[f], word);
    }
}

// Make all samples that are not finite INVALID; returns the number of valid ones.
template <int COUNT>
__device__ inline int tell_valid(Image (&v)[COUNT])
{
    int valid = 0;
#pragma unroll
    for (int f = 0; f < COUNT; ++f) {
        const int in = finite(v[f]);
        v[f] = in ? v[f] : INVALID;
        valid += in;
    }
    return valid;
}

// Remove from a sorted column the samples that are invalid or that the leading range clips reject.
// These are at its ends, as here the clips see the values that were sorted. Testing each sample on
// loading would take half as long as sorting, and because of the branches, each load would be
// waited for before the next is issued.
__device__ inline void leave_ends(const Task& task, Parked& column, Rejected& rejected)
{
    column.leave_invalid();
    for (int i = 0; i < task.raw_ranges; ++i) {
        const int valid = column.valid;
        Ranks inside = column.within(range_of(task.clips[i]));
        column.become(inside);
        rejected.below += inside.first;
        rejected.above += valid - inside.last;
    }
}

// A column in shared memory, where ranks that are not known at compile time can be looked up. COUNT
// is its length, the same in all calls of a kernel.
template <int COUNT>
__device__ inline Image* shared_column()
{
    __shared__ Image columns[COUNT * BLOCK];
    return columns + threadIdx.x;
}

template <int COUNT>
__device__ inline void fetch(const Image* column, Image (&v)[COUNT])
{
#pragma unroll
    for (int i = 0; i < COUNT; ++i)
        v[i] = column[i * BLOCK];
}

template <int COUNT>
__device__ inline Parked park(const Image (&v)[COUNT], int valid)
{
    Image* column = shared_column<COUNT>();
#pragma unroll
    for (int i = 0; i < COUNT; ++i)
        column[i * BLOCK] = v[i];
    return Parked(column, valid);
}

// Read samples into a column, by a loop of little code and few registers; returns how many are
// valid.
__device__ inline int stage(
    const Task& task, const Place& place, Image* column, Rejected& rejected)
{
    int valid = 0;
    each_sample(task, place, [&](int f, Sample seen) {
        column[f * BLOCK] = seen.image;
        valid += seen.fate == VALID;
        rejected.count(seen.fate);
    });
    return valid;
}

// Read samples again: store the values that the survivors are combined as.
__device__ inline void stage_survivors(
    const Task& task, const Place& place, Members members, Image* column)
{
    each_sample(task, place, [&](int f, Sample seen) {
        bool inside = members.inside(seen.image);
        column[f * BLOCK] = inside ? late_image(task, place, f, seen.image) : INVALID;
    });
}

// Read samples that need decoding.
template <int COUNT>
__device__ inline int load_staged(
    const Task& task, const Place& place, Image (&v)[COUNT], Rejected& rejected)
{
    Image* column = shared_column<COUNT>();
    int valid = stage(task, place, column, rejected);
    fetch(column, v);
    return valid;
}

template <int COUNT>
__device__ inline void load_survivors(
    const Task& task, const Place& place, Members members, Image (&v)[COUNT])
{
    Image* column = shared_column<COUNT>();
    stage_survivors(task, place, members, column);
    fetch(column, v);
}

// The value of samples that are not clipped any more.
template <int COUNT>
__device__ inline Result reduce_all(Image (&v)[COUNT], int valid)
{
    if (SPREAD == SPREAD_MAD) {
        sort(v);
        return reduce(park(v, valid));
    }
    if (IS_MEDIAN && valid == COUNT) {
        sort(v);    // a copy, from which the compiler removes what two fixed ranks do not need
        return reduce(Held<COUNT>(v, COUNT));
    }
    // Sums of squares are rounded: sorting makes them independent of the order of frames.
    if (IS_MEDIAN || (IS_QUADRATURE && !WEIGHTED))
        sort(v);
    return reduce(Held<COUNT>(v, valid));
}

template <int COUNT>
__device__ inline void run_held(
    const Task& task, const Planes<COUNT>& planes, const Place& place, Tallies& tallies)
{
    Image v[COUNT];
    Rejected rejected;
    const bool direct = FLAT && !SCALED && NORMALIZE == NORMALIZE_NONE;
    int valid = COUNT;
    if (direct)
        load(task, planes, place, v);
    else
        valid = load_staged(task, place, v, rejected);
    if (direct && !CLIPPED)
        valid = tell_valid(v);
    if (!CLIPPED) {
        Held<COUNT> column(v, valid);
        if (IS_LATE)
            load_survivors(task, place, Members(), v);
        Result result = reduce_all(v, valid);
        put_all(task, place, column, Members(), rejected, result, tallies);
        return;
    }
    sort(v);
    Parked column = park(v, valid);
    if (direct)
        leave_ends(task, column, rejected);
    run_ranked(task, place, column, rejected, tallies, [&](Members members, int count) {
        load_survivors(task, place, members, v);
        return reduce_all(v, count);
    });
}

// --- up to 360 float32, 186 float64: samples are read once, into shared memory ------------

template <int COUNT>
__device__ inline void run_parked(const Task& task, const Place& place, Tallies& tallies)
{
    Image* samples = shared_column<Blocks<COUNT>::SLOTS>();
    Rejected rejected;
    int valid = stage(task, place, samples, rejected);
    sort_column<COUNT>(samples);
    Parked column(samples, valid);
    run_ranked(task, place, column, rejected, tallies, [&](Members members, int count) {
        stage_survivors(task, place, members, samples);
        sort_column<COUNT>(samples);
        return reduce(Parked(samples, count));
    });
}

// --- any number of frames: samples are read again for every statistic ---------------------

// The number of samples that range clips on raw values reject.
__device__ inline Rejected count_out_of_range(const Task& task, const Place& place)
{
    Rejected rejected;
    if (CLIPPED && task.raw_ranges)
        each_sample(task, place, [&](int, Sample seen) { rejected.count(seen.fate); });
    return rejected;
}

// Inlined by force: where the compiler finds this too long, it would call it through local memory.
__device__ __forceinline__ void run_streamed(const Task& task, const Place& place, Tallies& tallies)
{
    Streamed column({task, place, false, Members()});
    Rejected rejected = count_out_of_range(task, place);
    run_ranked(task, place, column, rejected, tallies, [&](Members members, int) {
        column.source.late = true;
        column.source.members = members;
        column.begin();
        return reduce(column);
    });
}

// The number of samples that a thread holds in registers, where it holds all of them.
static constexpr int HELD = N > 0 && N <= IN_REGISTERS ? N : 1;

// The grid may have any size, a block up to BLOCK threads. There are no __launch_bounds__, with
// which ptxas spills registers to fit in more blocks.
extern "C" __global__ void combine(
    const Frame* __restrict__ frames, int n, const Clip* __restrict__ clips, int nclips,
    int raw_ranges, long long pixels, long long width, Out out,
    const __grid_constant__ Planes<HELD> planes)
{
    __shared__ unsigned collected[2][COUNTERS];
    Tallies tallies{collected[0], collected[1]};
    const Task task{frames, n, clips, nclips, raw_ranges, pixels, BY_FRAME ? width : 0, out};
    if (LOOK)
        tallies.clear();
    const long long step = (long long)gridDim.x * blockDim.x;
    for (long long p = (long long)blockIdx.x * blockDim.x + threadIdx.x; p < pixels; p += step) {
        const Place place{p, FLAT ? 0 : p / width, FLAT ? p : p % width};
        for (int f = 0; BY_FRAME && f < task.count(); ++f)
            ((Byte*)out.reasons)[f * pixels + p] = REASON_NONE;
        if constexpr (N > IN_REGISTERS)
            run_parked<N>(task, place, tallies);
        else if constexpr (N > 0)
            run_held<HELD>(task, planes, place, tallies);
        else
            run_streamed(task, place, tallies);
    }
    if (LOOK)
        tallies.flush(task);
}
