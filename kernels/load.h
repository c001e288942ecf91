// Turn stored samples into what clips see: decode, normalise, tell invalid ones apart.
#pragma once

#include "noise.h"
#include "number.h"

typedef unsigned char Byte;

// Those arguments of the kernel that all its parts need.
struct Task {
    const Frame* frames;
    int n;
    const Clip* clips;
    int nclips, raw_ranges;
    long long pixels, width;
    Out out;

    __device__ int count() const { return N > 0 ? N : n; }
};

// Where a pixel lies in the band.
struct Place {
    long long pixel, row, column;
};

enum Fate { VALID, MASKED_OUT, NO_VALUE, BELOW, ABOVE, CLIPPED_OUT };

__device__ inline bool is_invalid(Fate fate) { return fate == MASKED_OUT || fate == NO_VALUE; }

// A sample as clips see it: `image` is INVALID unless `fate` is VALID.
struct Sample {
    Image image;
    Fate fate;
};

// Counts of samples that are rejected one by one, not by the interval of ranks.
struct Rejected {
    int below = 0, above = 0;

    __device__ void count(Fate fate)
    {
        below += fate == BELOW;
        above += fate == ABOVE;
    }
};

typedef STORED Stored;

// The unsigned integer with the bits of a sample in memory.
template <int SIZE> struct WordOf;
template <> struct WordOf<1> { typedef unsigned char Word; };
template <> struct WordOf<2> { typedef unsigned short Word; };
template <> struct WordOf<4> { typedef unsigned Word; };
template <> struct WordOf<8> { typedef unsigned long long Word; };
typedef WordOf<sizeof(Stored)>::Word Word;

template <class A, class B> struct Same { static constexpr bool value = false; };
template <class A> struct Same<A, A> { static constexpr bool value = true; };
static constexpr bool STORED_FLOAT = Same<Stored, float>::value || Same<Stored, double>::value;

// The type in which samples are decoded: those of up to 16 bits are exact in float.
template <bool SMALL> struct Own { typedef double type; };
template <> struct Own<true> { typedef float type; };
typedef Own<sizeof(Stored) <= 2 || Same<Stored, float>::value>::type OwnReal;

__device__ inline Byte swapped(Byte word) { return word; }
__device__ inline unsigned short swapped(unsigned short word)
{
    return (unsigned short)__byte_perm(word, 0, 0x4401);
}
__device__ inline unsigned swapped(unsigned word) { return __byte_perm(word, 0, 0x0123); }
__device__ inline unsigned long long swapped(unsigned long long word)
{
    unsigned low = unsigned(word), high = unsigned(word >> 32);
    return (unsigned long long)swapped(low) << 32 | swapped(high);
}

template <class T>
__device__ inline T fetch(unsigned long long base, long long stride, const Place& place)
{
    const char* row = (const char*)base + place.row * stride;
    return __ldg((const T*)row + place.column);
}

__device__ inline Word stored(const Frame& frame, const Place& place)
{
    Word word = fetch<Word>(frame.data, frame.data_stride, place);
    return SWAP ? swapped(word) : word;
}

__device__ inline bool is_masked(const Frame& frame, const Place& place)
{
    return MASKED && frame.mask && fetch<Byte>(frame.mask, frame.mask_stride, place) != 0;
}

__device__ inline bool is_blank(const Frame& frame, Word word)
{
    if (!MASKED || STORED_FLOAT || !frame.has_blank)
        return false;
    return (long long)Stored(word) == frame.blank;
}

__device__ inline double weight_of(const Frame& frame, const Place& place)
{
    if (WEIGHTED == WEIGHTED_SAMPLE && frame.weight)
        return fetch<double>(frame.weight, frame.weight_stride, place);
    return frame.weight_value;
}

// The image, in the frame's own type, of a stored sample before BSCALE and BZERO.
__device__ inline Number<OwnReal>::Image own_image(Word word)
{
    if constexpr (STORED_FLOAT)
        return image<OwnReal>(word);
    else if constexpr (sizeof(OwnReal) == 4)
        return image<float>(__float_as_uint(float(Stored(word))));
    else
        return narrow<double>(double(Stored(word)));
}

// The image of the physical value, whether the sample is masked or not; it may be infinite or NaN.
__device__ inline Image decode(const Frame& frame, Word word)
{
    Number<OwnReal>::Image value = own_image(word);
    if (SCALED) {
        if (frame.bscale != 1)
            value = multiply(value, frame.bscale);
        if (frame.bzero != 0)
            value = add(value, frame.bzero);
    }
    if constexpr (sizeof(OwnReal) == sizeof(REAL))
        return value;
    else
        return narrow<REAL>(widen_any(value));
}

__device__ inline Image normalize(const Frame& frame, Image value)
{
    return narrow<REAL>((widen_any(value) - frame.zero) * frame.scale);
}

// Whether, and on which side, one of the leading range clips rejects a valid value.
__device__ inline Fate range_fate(const Task& task, Image image)
{
    double value = widen(image);
    for (int i = 0; i < task.raw_ranges; ++i) {
        const Clip& clip = task.clips[i];
        if (clip.has_low && value < clip.low)
            return BELOW;
        if (clip.has_high && value > clip.high)
            return ABOVE;
    }
    return VALID;
}

// A stored sample as clips see it.
__device__ inline Sample settle(const Task& task, const Frame& frame, Word word, bool masked)
{
    Image value = decode(frame, word);
    if (masked || !finite(value) || is_blank(frame, word))
        return {INVALID, masked ? MASKED_OUT : NO_VALUE};
    Image seen = value;
    if (NORMALIZE != NORMALIZE_NONE) {
        Image normal = normalize(frame, value);
        if (!finite(normal))
            return {INVALID, NO_VALUE};
        seen = NORMALIZE == NORMALIZE_EARLY ? normal : value;
    }
    Fate fate = CLIPPED && task.raw_ranges ? range_fate(task, value) : VALID;
    return {fate == VALID ? seen : INVALID, fate};
}

// Whether a clip by frame has rejected a sample.
__device__ inline bool is_out(const Task& task, const Place& place, int f)
{
    return BY_FRAME && ((const Byte*)task.out.reasons)[f * task.pixels + place.pixel] == REASON_CLIP;
}

// The value that a survivor is combined as, where that is not what clips see. If the raw value is
// needed and clips see another, the sample is read again: keeping both would take registers in all
// kernels.
__device__ inline Image late_image(const Task& task, const Place& place, int f, Image seen)
{
    const Frame& frame = task.frames[f];
    if (COMBINE != COMBINE_NMODEL)
        return normalize(frame, seen);
    Image raw = NORMALIZE == NORMALIZE_EARLY ? decode(frame, stored(frame, place)) : seen;
    double noise = ccd_noise(task.clips[task.nclips], widen(raw));
    return narrow<REAL>(noise * fabs(frame.scale));
}

// TOGETHER: samples whose loads are issued before the first of them is decoded, so that the loads
// overlap. ONE_COPY: copies of the decoding in the code of a loop over samples. Streamed columns
// have many such loops: with four copies in each, a kernel with all clips takes half a minute to
// compile, with one copy 7 s. Only the loops that are run most have more.
static constexpr int TOGETHER = N > 0 ? 8 : 4, ONE_COPY = N > 0 ? TOGETHER : 1;

// The sample of a frame.
__device__ inline Sample sample_of(const Task& task, const Place& place, int f)
{
    const Frame& frame = task.frames[f];
    Word word = stored(frame, place);
    return is_out(task, place, f) ? Sample{INVALID, CLIPPED_OUT}
                                  : settle(task, frame, word, is_masked(frame, place));
}

// Call `visit(f, sample)` with the sample of every frame in turn.
template <int AT_ONCE = TOGETHER, int COPIES = ONE_COPY, class Visit>
__device__ inline void each_sample(const Task& task, const Place& place, const Visit& visit)
{
    const int count = task.count();
#pragma unroll 1
    for (int start = 0; start < count; start += AT_ONCE) {
        Word words[AT_ONCE];
        bool masked[AT_ONCE];
#pragma unroll
        for (int i = 0; i < AT_ONCE; ++i) {
            const Frame& frame = task.frames[min(start + i, count - 1)];
            words[i] = stored(frame, place);
            masked[i] = is_masked(frame, place);
        }
#pragma unroll COPIES
        for (int i = 0; i < AT_ONCE; ++i) {
            const int f = start + i;
            if (f < count)
                visit(f, is_out(task, place, f) ? Sample{INVALID, CLIPPED_OUT}
                                                : settle(task, task.frames[f], words[0], masked[0]));
            // The next sample moves to the front, because an index that is not known at compile
            // time would put the arrays into local memory.
#pragma unroll
            for (int next = 1; next < AT_ONCE; ++next) {
                words[next - 1] = words[next];
                masked[next - 1] = masked[next];
            }
        }
    }
}

// The value by which a clip ranks a sample among those of all frames, invalid ones included; NaN
// and blank ones rank last.
__device__ inline Image among_all(const Frame& frame, const Place& place)
{
    Word word = stored(frame, place);
    Image value = decode(frame, word);
    if (NORMALIZE == NORMALIZE_EARLY)
        value = normalize(frame, value);
    bool number = value <= INVALID && value >= -INVALID;
    return number && !is_blank(frame, word) ? value : LARGEST;
}
