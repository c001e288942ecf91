// The names that -D gives, each with a default, so that a file compiles with none given.
#pragma once

#include "abi.h"

#ifndef N               // frames; 0 = any number, which are then read again and again
#define N 25
#endif
#ifndef REAL            // the type in which samples are compared
#define REAL float
#endif
#ifndef STORED          // the type of the samples in memory
#define STORED float
#endif
#ifndef SWAP            // 1: in the byte order that is not the machine's
#define SWAP 0
#endif
#ifndef SCALED          // 0: every frame has bscale 1 and bzero 0
#define SCALED 1
#endif
#ifndef MASKED          // 0: no frame has a mask or a blank
#define MASKED 1
#endif
#ifndef NORMALIZE       // NORMALIZE_...: before the clips, or their survivors
#define NORMALIZE 1
#endif
#ifndef CLIPPED         // CLIPPED_...: no clips, the basic ones, all, those by frame too
#define CLIPPED 2
#endif
#ifndef REPLACES        // 1: the last clip puts medians in the place of what it rejects
#define REPLACES 0
#endif
#ifndef COMBINE         // COMBINE_...
#define COMBINE 0
#endif
#ifndef SPREAD          // SPREAD_...: what the uncertainty is made of
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
#ifndef FLAT            // 1: all rows touch; of frames in registers, Planes has the addresses
#define FLAT 0
#endif
#ifndef BLOCK           // threads of a block, at most
#define BLOCK 64
#endif

// What the basic clips have no use for costs registers.
#define EVERY_CLIP (CLIPPED >= CLIPPED_ALL)
#define BY_FRAME (CLIPPED == CLIPPED_BY_FRAME)

// Of one or two of the middle samples.
#define IS_MEDIAN                                                                \
    (COMBINE == COMBINE_MEDIAN || COMBINE == COMBINE_LOWER_MEDIAN                \
        || COMBINE == COMBINE_LMEDIAN)

// Of squares.
#define IS_QUADRATURE (COMBINE == COMBINE_QUADRATURE || COMBINE == COMBINE_NMODEL)

// What is combined is something else than what clips see. Normalising late without clips is
// normalising early.
#define IS_LATE                                                                  \
    ((CLIPPED && NORMALIZE == NORMALIZE_LATE) || COMBINE == COMBINE_NMODEL)
