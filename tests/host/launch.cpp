// The kernel and a C function that runs it.
#include "cuda_shim.h"

#include "combine.cu"

#include <thread>
#include <vector>

struct Arguments {
    const Frame* frames;
    int n;
    const Clip* clips;
    int nclips, raw_ranges;
    long long pixels, width;
    const Out* out;
    const Planes<HELD>* planes;
};

static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;

static void run_block(unsigned thread, const int* flags, const Arguments& a)
{
    threadIdx = {thread, 0, 0};
    memcpy(shim_flags, flags, sizeof shim_flags);
    combine(a.frames, a.n, a.clips, a.nclips, a.raw_ranges, a.pixels, a.width, *a.out,
        *a.planes);
}

// Run `grid` blocks of `block` threads. Shared memory is static: one launch at a time.
extern "C" void launch(
    unsigned grid, unsigned block, const int* flags, const Frame* frames, int n,
    const Clip* clips, int nclips, int raw_ranges, long long pixels, long long width,
    const Out* out, const Planes<HELD>* planes)
{
    const Arguments arguments{frames, n, clips, nclips, raw_ranges, pixels, width, out, planes};
    pthread_mutex_lock(&one_at_a_time);
    gridDim = {grid, 1, 1};
    blockDim = {block, 1, 1};
    pthread_barrier_init(&shim_barrier, nullptr, block);
    for (unsigned b = 0; b < grid; ++b) {
        blockIdx = {b, 0, 0};
        std::vector<std::thread> threads;
        for (unsigned t = 0; t < block; ++t)
            threads.emplace_back(run_block, t, flags, std::cref(arguments));
        for (std::thread& thread : threads)
            thread.join();
    }
    pthread_barrier_destroy(&shim_barrier);
    pthread_mutex_unlock(&one_at_a_time);
}
