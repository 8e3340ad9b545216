// What CUDA C has and C++ has not: included before every kernel, which g++ then compiles.
#pragma once
#include <cmath>
#include <cstddef>
#include <cstring>
#include <type_traits>
#include <utility>

#include "threads.h"

#define EMU 1
#define __CUDACC_RTC__ 1
#define __global__
#define __device__
#define __host__
#define __constant__ static
// Where it can be found, to be poisoned; build.py makes emu_shared() of the dynamic one.
#define __shared__ static __attribute__((section("emu_shared")))
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __restrict__
#define threadIdx (emu_thread->index)
#define blockIdx (emu_thread->block->index)
#define blockDim emu_block_size
#define gridDim emu_grid_size
#define warpSize 32

// Vectors
#define EMU_VECTORS(type, name)                                                       \
  struct alignas(2 * sizeof(type)) name##2 { type x, y; };                            \
  struct alignas(sizeof(type) > 4 ? 16 : 4 * sizeof(type)) name##4 { type x, y, z, w; }; \
  inline name##2 make_##name##2(type x, type y) { return {x, y}; }                    \
  inline name##4 make_##name##4(type x, type y, type z, type w) { return {x, y, z, w}; }
EMU_VECTORS(float, float)
EMU_VECTORS(double, double)
EMU_VECTORS(int, int)
EMU_VECTORS(unsigned, uint)
EMU_VECTORS(unsigned char, uchar)
EMU_VECTORS(unsigned short, ushort)
EMU_VECTORS(long long, longlong)

// What threads do together. A warp's functions want all of its threads, whatever the
// mask says.
#define __syncthreads emu_syncthreads
inline void __syncwarp(unsigned = ~0u) { emu_syncwarp(); }
inline void __nanosleep(unsigned) { emu_yield(); }
inline void __trap() { emu_trap(); }
template <class T> T emu_from_lane(const char* what, T value, int lane) {
  static_assert(sizeof(T) <= sizeof(uint64_t));
  uint64_t mine = 0;
  memcpy(&mine, &value, sizeof value);
  memcpy(&value, &emu_exchange(what, mine)[lane], sizeof value);
  return value;
}
template <class T> T __shfl_sync(unsigned, T value, int from, int width = 32) {
  int lane = emu_thread->lane;
  return emu_from_lane("__shfl", value, lane / width * width + from % width);
}
template <class T> T __shfl_xor_sync(unsigned, T value, int mask, int = 32) {
  return emu_from_lane("__shfl_xor", value, emu_thread->lane ^ mask);
}
template <class T> T __shfl_down_sync(unsigned, T value, int by, int width = 32) {
  int lane = emu_thread->lane, inside = lane % width + by < width;
  return emu_from_lane("__shfl_down", value, inside ? lane + by : lane);
}
template <class T> T __shfl_up_sync(unsigned, T value, int by, int width = 32) {
  int lane = emu_thread->lane, inside = lane % width >= by;
  return emu_from_lane("__shfl_up", value, inside ? lane - by : lane);
}
inline unsigned __ballot_sync(unsigned, int yes) {
  unsigned bits = 0, width = emu_thread->warp->barrier.members;
  const uint64_t* all = emu_exchange("__ballot", yes != 0);
  for (unsigned lane = 0; lane < width; lane++) bits |= (unsigned)all[lane] << lane;
  return bits;
}

// Memory. No thread runs while another does, so what is atomic is plain, and a fence
// is nothing.
inline void __threadfence() {}
inline void __threadfence_block() {}
template <class T> T __ldg(const T* from) { return *from; }
template <class T> T __ldca(const T* from) { return *from; }
template <class T> T __ldcg(const T* from) { return *from; }
template <class T> T __ldcs(const T* from) { return *from; }
template <class T> void __stcg(T* to, T value) { *to = value; }
template <class T> void __stcs(T* to, T value) { *to = value; }
template <class T> T emu_replace(T* at, T value) {
  T old = *at;
  *at = value;
  return old;
}
#define EMU_ATOMIC_ADD(type) \
  inline type atomicAdd(type* at, type value) { return emu_replace(at, (type)(*at + value)); }
EMU_ATOMIC_ADD(int)
EMU_ATOMIC_ADD(unsigned)
EMU_ATOMIC_ADD(unsigned long long)
EMU_ATOMIC_ADD(float)
EMU_ATOMIC_ADD(double)
template <class T> T atomicExch(T* at, T value) { return emu_replace(at, value); }
template <class T> T atomicCAS(T* at, T old, T value) {
  return emu_replace(at, *at == old ? value : *at);
}
template <class T> T atomicMax(T* at, T value) { return emu_replace(at, *at < value ? value : *at); }
template <class T> T atomicMin(T* at, T value) { return emu_replace(at, value < *at ? value : *at); }
template <class T> T atomicOr(T* at, T value) { return emu_replace(at, (T)(*at | value)); }
template <class T> T atomicAnd(T* at, T value) { return emu_replace(at, (T)(*at & value)); }

// Numbers
template <class To, class From> To emu_bits(From value) {
  static_assert(sizeof(To) == sizeof(From));
  To bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}
inline float __int_as_float(int value) { return emu_bits<float>(value); }
inline float __uint_as_float(unsigned value) { return emu_bits<float>(value); }
inline int __float_as_int(float value) { return emu_bits<int>(value); }
inline unsigned __float_as_uint(float value) { return emu_bits<unsigned>(value); }
inline double __longlong_as_double(long long value) { return emu_bits<double>(value); }
inline long long __double_as_longlong(double value) { return emu_bits<long long>(value); }
inline int __popc(unsigned value) { return __builtin_popcount(value); }
inline int __popcll(unsigned long long value) { return __builtin_popcountll(value); }
inline int __clz(int value) { return value ? __builtin_clz(value) : 32; }
inline int __ffs(int value) { return __builtin_ffs(value); }
inline unsigned __umulhi(unsigned a, unsigned b) { return (uint64_t)a * b >> 32; }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  return (unsigned __int128)a * b >> 64;
}
inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __frcp_rn(float x) { return 1 / x; }
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline float __saturatef(float x) { return x > 0 ? x < 1 ? x : 1 : 0; }
inline float rsqrtf(float x) { return 1 / sqrtf(x); }
inline double rsqrt(double x) { return 1 / sqrt(x); }
inline long long clock64() { return 0; }
template <class A, class B> std::common_type_t<A, B> max(A a, B b) {
  return std::common_type_t<A, B>(a) < std::common_type_t<A, B>(b) ? b : a;
}
template <class A, class B> std::common_type_t<A, B> min(A a, B b) {
  return std::common_type_t<A, B>(b) < std::common_type_t<A, B>(a) ? b : a;
}
using std::isfinite, std::isinf, std::isnan, std::signbit;

// From the addresses of a kernel's arguments, as a launch has them.
template <class... A, size_t... I>
void emu_apply(void (*kernel)(A...), void** args, std::index_sequence<I...>) {
  kernel(*(std::remove_reference_t<A>*)args[I]...);
}
template <class... A> void emu_call(void (*kernel)(A...), void** args) {
  emu_apply(kernel, args, std::index_sequence_for<A...>{});
}
// The bounds of the static shared memory, which the linker knows.
extern "C" {
extern char __start_emu_shared[] __attribute__((weak, visibility("hidden")));
extern char __stop_emu_shared[] __attribute__((weak, visibility("hidden")));
}

// What CuPy's own kernels begin with, but for its types of 16 bits and complex numbers.
template <class T> struct complex { T re, im; };
#if __has_include(<cupy/carray.cuh>)
#include <cupy/carray.cuh>
#include <cupy/atomics.cuh>
#include <cupy/math_constants.h>
#endif
