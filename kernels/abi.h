// What the host passes to a kernel. gpustack/backends/cuda/abi.py mirrors it field by field;
// a test compares sizes and offsets.
#pragma once

// One frame of a band, in device memory. Rows may lie apart; the samples of a row are
// neighbours, and each is aligned to its own size. Addresses that are read together lie
// together, so that one 128-bit load brings both.
struct alignas(16) Frame {
    unsigned long long data;    // address of the first sample
    long long data_stride;      // bytes from row to row
    unsigned long long mask;    // one byte a sample, 1 = invalid; address 0: no mask
    long long mask_stride;
    unsigned long long weight;  // float64, one a sample; address 0: `weight_value` instead
    long long weight_stride;
    unsigned long long variance;    // float64, one a sample, for clips that ask for it
    long long variance_stride;
    double bscale, bzero;       // value = stored * bscale + bzero
    double zero, scale;         // x = (value - zero) * scale
    double weight_value;        // the weight of all its samples
    long long blank;            // the stored integer that stands for no value, or its bits
    int has_blank;              // 1: there is one, and the stored type can hold it
    int reserved[3];
};

// The addresses of all frames and masks once more, in the arguments of the kernel, where they
// take no register. Only -D FLAT=1 looks at them.
template <int COUNT>
struct Planes {
    unsigned long long data[COUNT], mask[COUNT];
};

// One clip of the recipe, or behind the last one its noise model, of which SPREAD_NOISE says the
// fields. Fields that its kind has no use for are 0.
struct Clip {
    int kind;           // CLIP_...
    int center;         // CENTER_...
    int spread;         // SPREAD_..., but for SPREAD_NONE
    int about;          // ABOUT_...: what the standard deviation is about
    int maxiters;       // -1: until nothing changes
    int ddof;
    int nlow, nhigh;
    int has_low, has_high;  // 0: no bound on that side
    int keep;           // survivors, at least; negative: rejected samples, at most
    int rank;           // ranks from the median, to the sample that is SPREAD_RANK from it
    double low, high;   // values (range) or units of the spread
    double rdnoise, gain, snoise;   // of SPREAD_NOISE
    double outliers;    // the largest share of the samples that ESD rejects
    // Address of the critical values of ESD, one for each count; or of the deviations that
    // SPREAD_ROW has for each row of the band.
    unsigned long long table;
};

// Where the results go; 0 = not wanted. Maps are flat, one element a pixel of the band.
struct Out {
    unsigned long long data, uncertainty;   // OUT
    unsigned long long mask;                // one byte, 1 = no survivor or no weight
    unsigned long long count, low, high;    // int32
    unsigned long long reasons;             // one byte, [frame][pixel]: REASON_...
    unsigned long long invalid, rejected;   // uint64 a frame, added to
};

// Why a sample is out; gpustack/reasons.py.
enum { REASON_NONE = 0, REASON_MASKED = 1, REASON_NO_VALUE = 2, REASON_RANGE = 4, REASON_CLIP = 8 };
// Only while a clip by frame is at work.
enum { LEAVING = 128 };
enum { CLIP_RANGE, CLIP_EXTREMA, CLIP_EXTREMA_ALL, CLIP_EXTREMA_SHARE, CLIP_BOUNDS, CLIP_ESD,
    CLIP_BY_FRAME, CLIP_REPLACING };
enum { CLIPPED_NOT, CLIPPED_BASIC, CLIPPED_ALL, CLIPPED_BY_FRAME };
enum { CENTER_MEAN, CENTER_MEDIAN, CENTER_TRIMMED };
enum { ABOUT_MEAN, ABOUT_CENTER };
enum {
    COMBINE_MEAN, COMBINE_MEDIAN, COMBINE_SUM, COMBINE_MIN, COMBINE_MAX,
    COMBINE_LOWER_MEDIAN, COMBINE_LMEDIAN, COMBINE_QUADRATURE, COMBINE_NMODEL
};
// What an uncertainty is made of, or thresholds are in units of; from SPREAD_RAW_MAD on only
// these: the MAD as it is, the centre itself, the noise of a CCD, the distance of a rank, the
// winsorized deviation. From SPREAD_POISSON on only of clips by frame: the root of the level,
// the variance of the sample, the distance from a line, the noise of a row at that level;
// SPREAD_NOISE may be of both.
enum {
    SPREAD_NONE, SPREAD_STD, SPREAD_MAD,
    SPREAD_RAW_MAD, SPREAD_CENTER, SPREAD_NOISE, SPREAD_RANK, SPREAD_WINSORIZED,
    SPREAD_POISSON, SPREAD_VARIANCE, SPREAD_LINE, SPREAD_ROW
};
enum { NORMALIZE_NONE, NORMALIZE_EARLY, NORMALIZE_LATE };
enum { WEIGHTED_NOT, WEIGHTED_FRAME, WEIGHTED_SAMPLE };
