// Floats as integers in the same order.
//
// CuPy compiles with -ftz=true, with which float arithmetic treats subnormals as zero. A sample is
// therefore kept as its image: an integer of the same width, which is smaller where the float is
// smaller. Both zeros have the image 0, and a subnormal float is its image times the smallest step.
// Samples are compared and sorted as images; arithmetic is double, or float where no subnormal can
// have been involved.
#pragma once

#include "config.h"

template <class Float> struct Number;

template <> struct Number<float> {
    typedef int Image;
    typedef unsigned Word;
    static constexpr int INFINITE = 0x7f800000, LARGEST = 0x7fffffff;
};

template <> struct Number<double> {
    typedef long long Image;
    typedef unsigned long long Word;
    static constexpr long long INFINITE = 0x7ff0000000000000, LARGEST = 0x7fffffffffffffff;
};

// The image of the float that has these bits.
template <class Float>
__device__ inline typename Number<Float>::Image image(typename Number<Float>::Word bits)
{
    typedef typename Number<Float>::Image Image;
    typedef typename Number<Float>::Word Word;
    const Word sign = Word(1) << (8 * sizeof(Word) - 1);
    return bits & sign ? Image(sign - bits) : Image(bits);
}

// The bits of the float that has this image: the inverse of `image`.
template <class Float>
__device__ inline typename Number<Float>::Word bits(typename Number<Float>::Image image)
{
    typedef typename Number<Float>::Word Word;
    const Word sign = Word(1) << (8 * sizeof(Word) - 1);
    return image < 0 ? sign - Word(image) : Word(image);
}

__device__ inline float as_float(int image) { return __uint_as_float(bits<float>(image)); }

// The value of the image of a finite number, in double.
//
// The bits of a float, moved to where a double has them, are that float times 2^-896, also where
// the float is subnormal. Devices convert from float at a quarter of the rate of this product, and
// where floats may be subnormal only with an additional choice.
__device__ inline double widen(int image)
{
    unsigned magnitude = image < 0 ? -unsigned(image) : unsigned(image);
    unsigned long long sign = (unsigned long long)(unsigned(image) & 0x80000000) << 32;
    double shifted = __longlong_as_double((long long)(sign | (unsigned long long)magnitude << 29));
    return __dmul_rn(shifted, 0x1p896);
}

__device__ inline double widen(long long image)
{
    return __longlong_as_double((long long)bits<double>(image));
}

// The value of any image, also of infinity and NaN.
__device__ inline double widen_any(int image)
{
    bool number = image < Number<float>::INFINITE && image > -Number<float>::INFINITE;
    return number ? widen(image) : double(as_float(image));
}

__device__ inline double widen_any(long long image) { return widen(image); }

#define ENDLESS __longlong_as_double(0x7ff0000000000000)

// The image of a double that is rounded to Float.
template <class Float>
__device__ inline typename Number<Float>::Image narrow(double value);

template <> __device__ inline int narrow<float>(double value)
{
    if (fabs(value) < 0x1p-126)
        return int(rint(value * 0x1p149));
    return image<float>(__float_as_uint(__double2float_rn(value)));
}

template <> __device__ inline long long narrow<double>(double value)
{
    return image<double>((unsigned long long)__double_as_longlong(value));
}

// Float arithmetic is correct where its result is at least this: a subnormal that was treated as
// zero would have been less than half of the result's last digit.
#define FLOAT_IS_SAFE 0x1p-100f

__device__ inline int multiply(int a, double factor)
{
    float result = as_float(a) * float(factor);
    if (!(fabsf(result) < FLOAT_IS_SAFE))
        return image<float>(__float_as_uint(result));
    return narrow<float>(widen(a) * widen(narrow<float>(factor)));
}

__device__ inline int add(int a, double term)
{
    float result = as_float(a) + float(term);
    if (!(fabsf(result) < FLOAT_IS_SAFE))
        return image<float>(__float_as_uint(result));
    return narrow<float>(widen(a) + widen(narrow<float>(term)));
}

__device__ inline long long multiply(long long a, double factor)
{
    return narrow<double>(widen(a) * factor);
}

__device__ inline long long add(long long a, double term)
{
    return narrow<double>(widen(a) + term);
}

typedef Number<REAL>::Image Image;          // of a sample
static constexpr Image INVALID = Number<REAL>::INFINITE;    // sorts behind all valid samples
static constexpr Image LARGEST = Number<REAL>::LARGEST;

__device__ inline bool finite(Image image) { return image < INVALID && image > -INVALID; }
