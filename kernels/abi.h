// The structs and enums that the host passes to a kernel. gpustack/backends/cuda/abi.py mirrors
// them field by field; a test compares sizes and offsets.
#pragma once

// One frame of a band, in device memory. There may be gaps between rows; the samples of a row are
// contiguous, and each is aligned to its own size. An address and its stride are neighbours, so
// that one 128-bit load reads both.
struct alignas(16) Frame {
    unsigned long long data;    // address of the first sample
    long long data_stride;      // bytes from row to row
    unsigned long long mask;    // one byte a sample, 1 = invalid; address 0: no mask
    long long mask_stride;
    unsigned long long weight;  // float64, one a sample; address 0: `weight_value` instead
    long long weight_stride;
    unsigned long long variance;    // float64, one a sample, for clips that need it
    long long variance_stride;
    double bscale, bzero;       // value = stored * bscale + bzero
    double zero, scale;         // x = (value - zero) * scale
    double weight_value;        // the weight of all samples of the frame
    long long blank;            // the stored integer that means no value (BLANK), or its bits
    int has_blank;              // 1: there is a BLANK, and the stored type can hold it
    int reserved[3];
};

// The addresses of all frames and masks, passed by value: in the arguments of the kernel they take
// no register. Used with -D FLAT=1 only.
template <int COUNT>
struct Planes {
    unsigned long long data[COUNT], mask[COUNT];
};

// One clip of the recipe or, after the last clip, its noise model, which uses the fields that are
// commented with SPREAD_NOISE. Fields that a kind of clip does not use are 0.
struct Clip {
    int kind;           // CLIP_...
    int center;         // CENTER_...
    int spread;         // SPREAD_..., but not SPREAD_NONE
    int about;          // ABOUT_...: the value that the standard deviation is about
    int maxiters;       // -1: until nothing changes
    int ddof;
    int nlow, nhigh;
    int has_low, has_high;  // 0: no bound on that side
    int keep;           // least number of survivors; negative: most rejected samples
    int rank;           // of SPREAD_RANK: ranks from the median to the sample that sets the spread
    double low, high;   // values (range) or in units of the spread
    double rdnoise, gain, snoise;   // of SPREAD_NOISE
    double outliers;    // the largest share of the samples that ESD rejects
    // Address of the critical values of ESD, one for each count of samples; or of the noise that
    // SPREAD_ROW has for each row of the band.
    unsigned long long table;
};

// Addresses of the results; 0 = not wanted. Maps are flat, one element a pixel of the band.
struct Out {
    unsigned long long data, uncertainty;   // OUT
    unsigned long long mask;                // one byte, 1 = no survivor or no weight
    unsigned long long count, low, high;    // int32
    unsigned long long reasons;             // one byte, [frame][pixel]: REASON_...
    unsigned long long invalid, rejected;   // uint64 a frame, which the kernel adds to
};

// Why a sample is left out, as in gpustack/reasons.py.
enum { REASON_NONE = 0, REASON_MASKED = 1, REASON_NO_VALUE = 2, REASON_RANGE = 4, REASON_CLIP = 8 };
// Marks a sample for removal while a clip by frame runs.
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
// The spread that an uncertainty is made of, or that thresholds are in units of. From
// SPREAD_RAW_MAD on, only clips have them: the MAD without a factor, the centre itself, the noise
// of a CCD, the distance to a rank, the winsorized deviation. From SPREAD_POISSON on, only clips by
// frame have them: the root of the level, the variance of the sample, the distance from a line, the
// noise of a row at that level. Clips of both kinds may have SPREAD_NOISE.
enum {
    SPREAD_NONE, SPREAD_STD, SPREAD_MAD,
    SPREAD_RAW_MAD, SPREAD_CENTER, SPREAD_NOISE, SPREAD_RANK, SPREAD_WINSORIZED,
    SPREAD_POISSON, SPREAD_VARIANCE, SPREAD_LINE, SPREAD_ROW
};
enum { NORMALIZE_NONE, NORMALIZE_EARLY, NORMALIZE_LATE };
enum { WEIGHTED_NOT, WEIGHTED_FRAME, WEIGHTED_SAMPLE };
