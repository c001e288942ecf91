// Just enough of CUDA for g++ to build a kernel unchanged and run it on the host.
//
// The threads of a block are threads of the host, so that barriers and atomics have an effect;
// blocks run one after the other. Coalescing and the code that nvcc generates are not tested.
#pragma once

// C++ headers would take a third of the time of a build.
#include <pthread.h>
#include <string.h>

extern "C" {
double fmin(double, double);
double fmax(double, double);
double fabs(double);
float fabsf(float);
double rint(double);
double sqrt(double);
}

#define __device__
#define __forceinline__ inline
#define __global__
#define __shared__ static
#define __grid_constant__

template <class T>
static inline T min(T a, T b)
{
    return b < a ? b : a;
}

template <class T>
static inline T max(T a, T b)
{
    return a < b ? b : a;
}

struct Dim3 {
    unsigned x, y, z;
};
static thread_local Dim3 threadIdx;
static Dim3 blockIdx, blockDim, gridDim;
static pthread_barrier_t shim_barrier;

// Values of -D names that the host build reads at launch, so that one build serves many recipes.
static thread_local int shim_flags[16];

// Do as -ftz=true for the rest of this thread: flush subnormal operands and results to zero.
static inline void flush_subnormals()
{
#ifdef __SSE__
    __builtin_ia32_ldmxcsr(__builtin_ia32_stmxcsr() | 0x8040);
#endif
}

static inline void __syncthreads() { pthread_barrier_wait(&shim_barrier); }

template <class T>
static inline T __ldg(const T* address)
{
    return *address;
}

template <class T>
static inline T atomicAdd(T* address, T value)
{
    return __atomic_fetch_add(address, value, __ATOMIC_RELAXED);
}

template <class To, class From>
static inline To shim_bits(From from)
{
    To to;
    memcpy(&to, &from, sizeof to);
    return to;
}

static inline float __uint_as_float(unsigned bits) { return shim_bits<float>(bits); }
static inline unsigned __float_as_uint(float value) { return shim_bits<unsigned>(value); }
static inline double __longlong_as_double(long long bits) { return shim_bits<double>(bits); }
static inline long long __double_as_longlong(double value) { return shim_bits<long long>(value); }

// Convert NaN to the NaN of a device, 0x7fffffff, whose integer image is the largest of all.
static inline float __double2float_rn(double value)
{
    return value != value ? shim_bits<float>(0x7fffffffu) : float(value);
}

// A device never flushes doubles to zero, whatever it does to floats.
static inline double __dmul_rn(double a, double b)
{
#ifdef __SSE__
    const unsigned flags = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(flags & ~0x8040u);
    volatile double product = a;
    product = product * b;
    __builtin_ia32_ldmxcsr(flags);
    return product;
#else
    return a * b;
#endif
}

static inline unsigned __byte_perm(unsigned x, unsigned y, unsigned selector)
{
    unsigned long long both = (unsigned long long)y << 32 | x;
    unsigned result = 0;
    for (int i = 0; i < 4; ++i)
        result |= unsigned(both >> (8 * (selector >> (4 * i) & 7)) & 0xff) << (8 * i);
    return result;
}
