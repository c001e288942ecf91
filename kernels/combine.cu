// One band of frames to one image: a recipe in one kernel, a thread a pixel.
//
// decode -> range -> normalise -> sort -> clips -> combine -> uncertainty -> counts
// See README.md for axes, masks, NaN rules and the names that -D gives.
#include "look.h"
#include "sort.h"
#include "streamed.h"

// NORMALIZE_LATE without clips is NORMALIZE_EARLY.
__device__ inline bool is_late() { return CLIPPED && NORMALIZE == NORMALIZE_LATE; }

struct Rejected {
    int below = 0, above = 0;   // by range clips on raw values
};

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

// Write the value of a pixel; with weights, that which the second look summed up.
__device__ inline void put_result(
    const Out& out, long long pixel, int count, Result result, Weighted sums)
{
    bool empty = count == 0 || (WEIGHTED && sums.weights == 0);
    double value = result.value;
    if (WEIGHTED)
        value = COMBINE == COMBINE_SUM ? sums.values : sums.values / sums.weights;
    if (empty)
        value = COMBINE == COMBINE_SUM ? 0 : NOT_A_NUMBER;
    put_real(out.data, pixel, value);
    put_real(out.uncertainty, pixel, result.uncertainty);
    put<Byte>(out.mask, pixel, empty);
}

// What a thread does with one pixel: everything from the samples to the maps.
template <class Column>
__device__ inline void put_all(const Task& task, const Place& place, const Column& column,
    Members members, Rejected rejected, Result result, Tallies& tallies)
{
    put_counts(task.out, place.pixel, column, rejected);
    Weighted sums;
    if (looks_again(task, column.count()))
        sums = look(task, place, members, tallies);
    put_result(task.out, place.pixel, column.count(), result, sums);
}

template <class Column>
__device__ inline void run_clips(const Task& task, const Place& place, Column& column)
{
    for (int i = task.raw_ranges; i < task.nclips; ++i)
        run_clip(task, place, task.clips[i], column);
}

// --- up to 128 frames: samples are read once, into registers -----------------------------

// Read the samples of a pixel; invalid ones and those out of the range clips are INVALID.
// All are asked for before the first is decoded, so that they come together.
template <int COUNT>
__device__ inline int load(
    const Task& task, const Place& place, Image (&v)[COUNT], Rejected& rejected)
{
    Word words[COUNT];
    bool masked[COUNT];
#pragma unroll
    for (int f = 0; f < COUNT; ++f) {
        words[f] = stored(task.frames[f], place);
        masked[f] = is_masked(task.frames[f], place);
    }
    int valid = 0;
#pragma unroll
    for (int f = 0; f < COUNT; ++f) {
        Sample seen = settle(task, task.frames[f], words[f], masked[f]);
        v[f] = seen.image;
        valid += seen.fate == VALID;
        rejected.below += seen.fate == BELOW;
        rejected.above += seen.fate == ABOVE;
    }
    return valid;
}

// Read them again: the survivors, normalised.
template <int COUNT>
__device__ inline void load_survivors(
    const Task& task, const Place& place, Members members, Image (&v)[COUNT])
{
    Survivors survivors{task, place, members};
#pragma unroll
    for (int f = 0; f < COUNT; ++f)
        v[f] = survivors(f);
}

// Put sorted samples where a rank that is not known beforehand can be looked up.
template <int COUNT>
__device__ inline Parked park(const Image (&v)[COUNT], int valid)
{
    __shared__ Image parked[COUNT * BLOCK];
    Image* column = parked + threadIdx.x;
#pragma unroll
    for (int i = 0; i < COUNT; ++i)
        column[i * BLOCK] = v[i];
    return Parked(column, valid);
}

// The value of samples that no clip is applied to any more.
template <int COUNT>
__device__ inline Result reduce_all(Image (&v)[COUNT], int valid)
{
    if (SPREAD == SPREAD_MAD) {
        sort(v);
        return reduce(park(v, valid));
    }
    if (COMBINE == COMBINE_MEDIAN && valid == COUNT) {
        sort(v);    // apart, so that the compiler leaves out what two fixed ranks do not need
        return reduce(Held<COUNT>(v, COUNT));
    }
    if (COMBINE == COMBINE_MEDIAN)
        sort(v);
    return reduce(Held<COUNT>(v, valid));
}

template <int COUNT>
__device__ inline void run_held(const Task& task, const Place& place, Tallies& tallies)
{
    Image v[COUNT];
    Rejected rejected;
    int valid = load(task, place, v, rejected);
    if (!CLIPPED) {
        Held<COUNT> column(v, valid);
        Result result = reduce_all(v, valid);
        put_all(task, place, column, Members(), rejected, result, tallies);
        return;
    }
    sort(v);
    Parked column = park(v, valid);
    run_clips(task, place, column);
    Members members = column.members();
    Result result;
    if (is_late()) {
        load_survivors(task, place, members, v);
        result = reduce_all(v, column.count());
    } else {
        result = reduce(column);
    }
    put_all(task, place, column, members, rejected, result, tallies);
}

// --- any number of frames: samples are read at every question -----------------------------

// How many samples range clips on raw values reject.
__device__ inline Rejected count_out_of_range(const Task& task, const Place& place)
{
    Rejected rejected;
    for (int f = 0; CLIPPED && task.raw_ranges && f < task.n; ++f) {
        Fate fate = sample(task, place, f).fate;
        rejected.below += fate == BELOW;
        rejected.above += fate == ABOVE;
    }
    return rejected;
}

__device__ inline void run_streamed(const Task& task, const Place& place, Tallies& tallies)
{
    Streamed<Clippable> column({task, place}, task.n);
    if (CLIPPED)
        run_clips(task, place, column);
    Members members = column.members();
    Result result = is_late()
        ? reduce(Streamed<Survivors>({task, place, members}, task.n))
        : reduce(column);
    Rejected rejected = count_out_of_range(task, place);
    put_all(task, place, column, members, rejected, result, tallies);
}

// Any grid and any block of up to BLOCK threads will do.
extern "C" __global__ void __launch_bounds__(BLOCK) combine(
    const Frame* __restrict__ frames, int n, const Clip* __restrict__ clips, int nclips,
    int raw_ranges, long long pixels, long long width, Out out)
{
    __shared__ unsigned collected[2][COUNTERS];
    Tallies tallies{collected[0], collected[1]};
    const Task task{frames, n, clips, nclips, raw_ranges, pixels, out};
    if (LOOK)
        tallies.clear();
    const long long step = (long long)gridDim.x * blockDim.x;
    for (long long p = (long long)blockIdx.x * blockDim.x + threadIdx.x; p < pixels; p += step) {
        const Place place{p, p / width, p % width};
        if constexpr (N > 0)
            run_held<N>(task, place, tallies);
        else
            run_streamed(task, place, tallies);
    }
    if (LOOK)
        tallies.flush(task);
}
