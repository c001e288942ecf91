// The kernel, and a C function that runs it on the host.
#include "cuda_shim.h"

#include "combine.cu"


struct Arguments {
    const int* flags;
    const Frame* frames;
    int n;
    const Clip* clips;
    int nclips, raw_ranges;
    long long pixels, width;
    const Out* out;
    const Planes<HELD>* planes;
};

struct Thread {
    pthread_t handle;
    unsigned index;
    const Arguments* arguments;
};

static const unsigned MOST_THREADS = 1024;
static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;

static void* run_thread(void* pointer)
{
    const Thread& thread = *(const Thread*)pointer;
    const Arguments& a = *thread.arguments;
    threadIdx = {thread.index, 0, 0};
    memcpy(shim_flags, a.flags, sizeof shim_flags);
    if (shim_flags[15])
        flush_subnormals();
    combine(a.frames, a.n, a.clips, a.nclips, a.raw_ranges, a.pixels, a.width, *a.out, *a.planes);
    return nullptr;
}

static void run_block(unsigned block, const Arguments& arguments)
{
    static Thread threads[MOST_THREADS];
    blockIdx = {block, 0, 0};
    for (unsigned t = 0; t < blockDim.x; ++t) {
        threads[t] = {pthread_t(), t, &arguments};
        pthread_create(&threads[t].handle, nullptr, run_thread, &threads[t]);
    }
    for (unsigned t = 0; t < blockDim.x; ++t)
        pthread_join(threads[t].handle, nullptr);
}

// Run `grid` blocks of `block` threads. Shared memory is static, so launches run one at a time.
extern "C" void launch(
    unsigned grid, unsigned block, const int* flags, const Frame* frames, int n,
    const Clip* clips, int nclips, int raw_ranges, long long pixels, long long width,
    const Out* out, const Planes<HELD>* planes)
{
    const Arguments arguments{
        flags, frames, n, clips, nclips, raw_ranges, pixels, width, out, planes};
    pthread_mutex_lock(&one_at_a_time);
    gridDim = {grid, 1, 1};
    blockDim = {min(block, MOST_THREADS), 1, 1};
    pthread_barrier_init(&shim_barrier, nullptr, blockDim.x);
    for (unsigned b = 0; b < grid; ++b)
        run_block(b, arguments);
    pthread_barrier_destroy(&shim_barrier);
    pthread_mutex_unlock(&one_at_a_time);
}
