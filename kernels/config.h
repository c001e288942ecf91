// The -D names, each with a default, so that a file compiles without any of them.
#pragma once

#include "abi.h"

#ifndef N               // frames; 0 = any number, whose samples are read again and again
#define N 25
#endif
#ifndef REAL            // the type in which samples are compared
#define REAL float
#endif
#ifndef STORED          // the type of the samples in memory
#define STORED float
#endif
#ifndef SWAP            // 1: samples are not in the byte order of the machine
#define SWAP 0
#endif
#ifndef SCALED          // 0: every frame has bscale 1 and bzero 0
#define SCALED 1
#endif
#ifndef MASKED          // 0: no frame has a mask or a blank
#define MASKED 1
#endif
#ifndef NORMALIZE       // NORMALIZE_...: before the clips, or after them (the survivors)
#define NORMALIZE 1
#endif
#ifndef CLIPPED         // CLIPPED_...: no clips, basic ones, all but those by frame, all
#define CLIPPED 2
#endif
#ifndef REPLACES        // 1: the last clip puts medians in the place of what it rejects
#define REPLACES 0
#endif
#ifndef COMBINE         // COMBINE_...
#define COMBINE 0
#endif
#ifndef SPREAD          // SPREAD_...: the spread that the uncertainty is made of
#define SPREAD 1
#endif
#ifndef WEIGHTED        // WEIGHTED_...
#define WEIGHTED 0
#endif
#ifndef LOOK            // 1: reasons or tallies of frames are wanted
#define LOOK 1
#endif
#ifndef OUT             // the type of data and uncertainty
#define OUT float
#endif
#ifndef FLAT            // 1: no gaps between rows; Planes has the addresses of frames in registers
#define FLAT 0
#endif
#ifndef BLOCK           // the most threads of a block
#define BLOCK 64
#endif

// What only other clips than the basic ones need is compiled in on demand, as it takes registers.
#define EVERY_CLIP (CLIPPED >= CLIPPED_ALL)
#define BY_FRAME (CLIPPED == CLIPPED_BY_FRAME)

// Whether the value is made of one or two middle samples.
#define IS_MEDIAN                                                                \
    (COMBINE == COMBINE_MEDIAN || COMBINE == COMBINE_LOWER_MEDIAN                \
        || COMBINE == COMBINE_LMEDIAN)

// Whether the value is made of squares.
#define IS_QUADRATURE (COMBINE == COMBINE_QUADRATURE || COMBINE == COMBINE_NMODEL)

// Whether other values are combined than the clips see. Without clips, normalising late is the same
// as normalising early.
#define IS_LATE                                                                  \
    ((CLIPPED && NORMALIZE == NORMALIZE_LATE) || COMBINE == COMBINE_NMODEL)
