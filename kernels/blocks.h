// Sorting a column in shared memory that is too long for registers.
//
// The column is cut into blocks of equal length, each of which is sorted in registers. Then pairs
// of neighbouring blocks are split, so that one has the lower half of their samples and the other
// the higher half, and both are sorted again. Even and odd pairs take turns, in as many rounds as
// there are blocks.
// Reference: Baudet and Stevenson 1978, IEEE Transactions on Computers C-27, 84 (merge-split).
#pragma once

#include "sort.h"

// How a column of COUNT samples is cut into blocks; slots behind the samples are filled with
// LARGEST.
template <int COUNT>
struct Blocks {
    static constexpr int NUMBER = (COUNT + IN_REGISTERS - 1) / IN_REGISTERS;
    static constexpr int LENGTH = (COUNT + NUMBER - 1) / NUMBER;
    static constexpr int SLOTS = NUMBER * LENGTH;
};

template <int LENGTH>
__device__ inline void sort_block(Image* block)
{
    Image v[LENGTH];
#pragma unroll
    for (int i = 0; i < LENGTH; ++i)
        v[i] = block[i * BLOCK];
    sort(v);
#pragma unroll
    for (int i = 0; i < LENGTH; ++i)
        block[i * BLOCK] = v[i];
}

// Move the lower half of two sorted blocks to the first; afterwards neither block is in order.
template <int LENGTH>
__device__ inline void split(Image* low, Image* high)
{
#pragma unroll 8
    for (int i = 0; i < LENGTH; ++i)
        exchange(low[(LENGTH - 1 - i) * BLOCK], high[i * BLOCK]);
}

template <int COUNT>
__device__ inline void sort_column(Image* column)
{
    constexpr int NUMBER = Blocks<COUNT>::NUMBER, LENGTH = Blocks<COUNT>::LENGTH;
    for (int i = COUNT; i < Blocks<COUNT>::SLOTS; ++i)
        column[i * BLOCK] = LARGEST;
    // One copy of the network serves all rounds. Round -1 only sorts the blocks.
#pragma unroll 1
    for (int round = -1; round < NUMBER; ++round)
#pragma unroll 1
        for (int b = 0; b < NUMBER; ++b) {
            const bool lower = (b - round) % 2 == 0;
            Image* block = column + b * LENGTH * BLOCK;
            if (round >= 0 && (lower ? b + 1 == NUMBER : b == 0))
                continue;
            if (round >= 0 && lower)
                split<LENGTH>(block, block + LENGTH * BLOCK);
            sort_block<LENGTH>(block);
        }
}
