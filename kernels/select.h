// Finding the value of a rank among values that can only be visited, all of them in each pass.
//
// A pass counts the values up to three trial values, after which the rank is known to lie between
// two neighbours of these. The first trials are ranks of a few of the values; the next ones lie
// where the rank is expected between the ends found so far. If such a guess leaves more than a
// quarter of the distance between the ends, the next trials are quarters, so that two passes settle
// at least two bits. The few values that are left in the end are gathered and sorted.
#pragma once

#include "sort.h"

// The images of two values that are neighbours in rank.
template <class Float>
struct Pair {
    typename Number<Float>::Image first, second;
};

// The number of values that a thread keeps in shared memory: gathered ones, or those that the first
// trials are taken from.
static constexpr int GATHERED = 16;

// Of GATHERED values, how many ranks trials are below and above the expected one.
static constexpr int TRIAL_STEP = 3;

// Each value has eight bytes, whatever its type: in a block, some threads may be at samples while
// others are at deviations.
__device__ inline long long* kept_places()
{
    __shared__ long long places[GATHERED * BLOCK];
    return places + threadIdx.x;
}

template <class T>
struct Kept {
    long long* places = kept_places();

    __device__ T get(int i) const { return T(places[i * BLOCK]); }
    __device__ void set(int i, T value) const { places[i * BLOCK] = value; }

    __device__ void sort_all() const
    {
        T v[GATHERED];
#pragma unroll
        for (int i = 0; i < GATHERED; ++i)
            v[i] = get(i);
        sort(v);
#pragma unroll
        for (int i = 0; i < GATHERED; ++i)
            set(i, v[i]);
    }
};

// The ends between which the value of a rank lies.
template <class Float>
struct Ends {
    typedef typename Number<Float>::Image Image;
    typedef typename Number<Float>::Word Word;

    Image first, last;  // the value may equal either
    int under, upto;    // the number of values below the first, and up to the last

    __device__ int count() const { return upto - under; }
    __device__ Word distance() const { return Word(last) - Word(first); }
    __device__ Image clamp(Image trial) const { return min(max(trial, first), last - 1); }

    // The trial at a distance from the first end.
    __device__ Image beyond(double away) const
    {
        Word step = Word(fmin(fmax(away, 0.0), double(distance())));
        return clamp(Image(Word(first) + step));
    }

    // Choose trials at ranks of a few of the values.
    template <class Values>
    __device__ void take_ranks(Image (&trial)[3], int rank, const Values& values) const
    {
        const Kept<Image> kept;
        int found = 0;
        values.some([&](int i, Image value) {
            kept.set(i, value);
            found += value < Number<Float>::INFINITE;
        });
        kept.sort_all();
        int middle = int((rank - under + 0.5f) * found / max(count(), 1));
#pragma unroll
        for (int i = 0; i < 3; ++i)
            trial[i] = clamp(kept.get(min(max(middle + (i - 1) * TRIAL_STEP, 0), GATHERED - 1)));
    }

    // Choose trials where the rank would be if values were equally dense everywhere: there, and two
    // standard deviations below and above.
    __device__ void expect(Image (&trial)[3], int rank) const
    {
        double step = double(distance()) / max(count(), 1), off = sqrt(double(count()));
        double middle = rank - under + 0.5;
#pragma unroll
        for (int i = 0; i < 3; ++i)
            trial[i] = beyond((middle + (i - 1) * off) * step);
    }

    __device__ void quarter(Image (&trial)[3]) const
    {
        Word step = distance() >> 2;
#pragma unroll
        for (int i = 0; i < 3; ++i)
            trial[i] = Image(Word(first) + (i + 1) * step);
    }

    // Move the ends by what was counted up to the trials, which are in order.
    __device__ void narrow(const Image (&trial)[3], const int (&found)[3], int rank)
    {
#pragma unroll
        for (int i = 2; i >= 0; --i)
            if (found[i] > rank)
                last = trial[i], upto = found[i];
#pragma unroll
        for (int i = 0; i < 3; ++i)
            if (found[i] <= rank)
                first = trial[i] + 1, under = found[i];
    }
};

// The values of a rank and of the next one, found by quarters alone: slow, but little code.
template <class Float, class Values>
__device__ inline Pair<Float> select_by_quarters(
    Ends<Float> ends, int rank, const Values& values)
{
    typedef typename Number<Float>::Image Image;
    while (ends.first < ends.last) {
        Image trial[3];
        ends.quarter(trial);
        int found[3] = {0, 0, 0};
        values.each([&](Image value) {
#pragma unroll
            for (int i = 0; i < 3; ++i)
                found[i] += value <= trial[i];
        });
        ends.narrow(trial, found, rank);
    }
    int upto = 0;
    Image next = Number<Float>::INFINITE;
    values.each([&](Image value) {
        upto += value <= ends.first;
        next = value > ends.first ? min(next, value) : next;
    });
    return {ends.first, upto > rank + 1 ? ends.first : next};
}

// The values of a rank and of the next one. The numbers of values below the first end and up to the
// last one may be guesses.
template <class Float, class Values>
__device__ inline Pair<Float> select(Ends<Float> ends, int rank, const Values& values)
{
    typedef typename Number<Float>::Image Image;
    const Kept<Image> kept;
    enum { RANKS, GUESS, SURE } how = RANKS;
    while (true) {
        // One loop serves trials and gathering, because it is most of the code.
        const bool gathers = ends.first == ends.last || ends.count() <= GATHERED;
        Image trial[3] = {ends.first - 1, ends.last, ends.last};
        if (!gathers && how == RANKS)
            ends.take_ranks(trial, rank, values);
        else if (!gathers && how == GUESS)
            ends.expect(trial, rank);
        else if (!gathers)
            ends.quarter(trial);
        int found[3] = {0, 0, 0}, count = 0;
        Image next = Number<Float>::INFINITE;
        values.each([&](Image value) {
#pragma unroll
            for (int i = 0; i < 3; ++i)
                found[i] += value <= trial[i];
            if (!gathers || value <= trial[0])
                return;
            if (value > trial[1])
                next = min(next, value);
            else if (count < GATHERED)
                kept.set(count++, value);
        });
        if (!gathers) {
            const typename Number<Float>::Word quarter = ends.distance() >> 2;
            ends.narrow(trial, found, rank);
            how = how == SURE || ends.distance() <= quarter ? GUESS : SURE;
            continue;
        }
        ends.under = found[0];
        ends.upto = found[1];
        if (ends.first == ends.last)
            return {ends.first, ends.upto > rank + 1 ? ends.first : next};
        if (ends.count() > GATHERED)
            continue;   // the guesses were wrong
        for (int i = ends.count(); i < GATHERED; ++i)
            kept.set(i, Number<Float>::LARGEST);
        kept.sort_all();
        const int at = rank - ends.under;
        return {kept.get(at), at + 1 < ends.count() ? kept.get(at + 1) : next};
    }
}
