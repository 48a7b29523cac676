// CUDA's language as C++17, so that a kernel's text compiles unchanged: one fiber a thread, blocks
// one after another, a barrier as a switch to the scheduler.
//
// Arithmetic is that of the device: each intrinsic rounds once, fmaf fuses and nothing else does
// (-ffp-contract=off). Shared memory holds NaN bytes when a block starts, so that a kernel that
// reads what nobody has written gives another answer.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace shim {

struct Dim {
    unsigned int x, y;
};

// The running thread's index and place.
extern Dim thread, block, block_size, grid_size;

// Waits until every thread of the block waits at this line of this file; ends the program, with a
// message, where one waits elsewhere or has returned.
void barrier(const char *file, int line);

template <typename To, typename From> inline To bits(From from) {
    static_assert(sizeof(To) == sizeof(From), "same size");
    To to;
    std::memcpy(&to, &from, sizeof to);
    return to;
}

} // namespace shim

#define threadIdx shim::thread
#define blockIdx shim::block
#define blockDim shim::block_size
#define gridDim shim::grid_size
#define __global__
#define __device__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(threads)
#define __align__(bytes) __attribute__((aligned(bytes)))
// One section for all, so that the scheduler can spoil it.
#define __shared__ static __attribute__((section("cuda_shared")))
#define __syncthreads() shim::barrier(__FILE__, __LINE__)

struct alignas(16) float4 {
    float x, y, z, w;
};

inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline float __int_as_float(int x) { return shim::bits<float>(x); }
inline float __fadd_rn(float x, float y) { return x + y; }
inline float __fsub_rn(float x, float y) { return x - y; }
inline float __fmul_rn(float x, float y) { return x * y; }
inline float __fmaf_rn(float x, float y, float z) { return std::fmaf(x, y, z); }
inline double __dadd_rn(double x, double y) { return x + y; }
inline double __dsub_rn(double x, double y) { return x - y; }
inline double __dmul_rn(double x, double y) { return x * y; }

// The nearest f32 on one side.
inline float __double2float_ru(double x) {
    const float nearest = static_cast<float>(x);
    return static_cast<double>(nearest) < x ? std::nextafterf(nearest, INFINITY) : nearest;
}
inline float __double2float_rd(double x) {
    const float nearest = static_cast<float>(x);
    return static_cast<double>(nearest) > x ? std::nextafterf(nearest, -INFINITY) : nearest;
}

inline unsigned int min(unsigned int x, unsigned int y) { return x < y ? x : y; }
