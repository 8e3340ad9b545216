// Shared by the other files: thread indices, memory access, barriers, and sums over
// threads.
//
// Between two grid barriers, no block writes what another one reads. Memory that any
// block has written in this launch is read with __ldcg, which bypasses the L1 cache: L1
// caches are not coherent.

constexpr int WARP = 32, THREADS = WARP * WARPS;

#ifdef EMU
#define SHARED_MEMORY reinterpret_cast<float*>(emu_shared())
#define SPIN() emu_yield()
#define __grid_constant__
#else
extern __shared__ float4 shared_memory[];
#define SHARED_MEMORY reinterpret_cast<float*>(shared_memory)
#define SPIN()
#endif

// A block's shared memory, in order: the ring, for products; the last layer's weights;
// scratch, of a number for each thread and two rows of WARP numbers for each warp; and, with
// ORDER_SHARED, the numbers of the images of this step and of the next one.
__device__ inline float* ring() { return SHARED_MEMORY; }
__device__ inline float* last_weights() { return ring() + RING; }
__device__ inline float* scratch() { return last_weights() + HEAD; }
__device__ inline int* shared_order(int step) {
  float* all = scratch() + THREADS + 2 * WARPS * WARP;
  return reinterpret_cast<int*>(all) + step % 2 * BATCH_ROWS;
}

__device__ inline int lane() { return threadIdx.x % WARP; }
__device__ inline int warp() { return threadIdx.x / WARP; }

// The same number, but one that the compiler cannot trace. It then recomputes what depends
// on it in each step, instead of computing it once and keeping it in local memory.
__device__ inline int anew(int x) {
  asm volatile("" : "+r"(x));
  return x;
}

// Four neighboring numbers, for one access to memory.
struct Four {
  float v[4];
};

__device__ inline Four load(const float* at) {
  const float4 q = __ldcg(reinterpret_cast<const float4*>(at));
  return {q.x, q.y, q.z, q.w};
}

__device__ inline void store(float* at, const Four& f) {
  *reinterpret_cast<float4*>(at) = make_float4(f.v[0], f.v[1], f.v[2], f.v[3]);
}

// A barrier for TEAM_WARPS warps of a block; number: unique among the block's teams.
template <int TEAM_WARPS>
__device__ inline void sync_team(int number) {
  if constexpr (TEAM_WARPS == 1) {
    __syncwarp();
  } else if constexpr (TEAM_WARPS == WARPS) {
    __syncthreads();
  } else {
#ifdef EMU
    emu_syncwarps(number + 1, TEAM_WARPS * WARP);
#else
    asm volatile("bar.sync %0, %1;" : : "r"(number + 1), "n"(TEAM_WARPS * WARP) : "memory");
#endif
  }
}

// Copy SIZE bytes to a place in shared memory, see shared(), while the thread goes on; if
// !there, zeros are written. close_copies() ends a group of copies; wait_copies<N>() waits
// for all of this thread's groups but the last N. Without TENSOR_CORES, copies are made at
// once.
#ifdef EMU
using Shared = char*;
__device__ inline Shared shared(void* at) { return static_cast<char*>(at); }
template <int SIZE>
__device__ inline void copy_async(Shared to, const void* from, bool there = true) {
  emu_copy(to, there ? from : nullptr, SIZE);
}
__device__ inline void close_copies() { emu_close_copies(); }
template <int N>
__device__ inline void wait_copies() {
  emu_wait_copies(N);
}
__device__ inline void fetch(const void*) {}
#else
using Shared = unsigned;  // an address in shared memory, in bytes
__device__ inline Shared shared(void* at) {
  return static_cast<unsigned>(__cvta_generic_to_shared(at));
}
template <int SIZE>
__device__ inline void copy_async(Shared at, const void* from, bool there = true) {
  static_assert(SIZE == 16 || SIZE == 4);
  const int size = there ? SIZE : 0;
  if constexpr (!TENSOR_CORES && SIZE == 16) {
    const uint4 q = there ? __ldcg(static_cast<const uint4*>(from)) : make_uint4(0, 0, 0, 0);
    asm volatile("st.shared.v4.u32 [%0], {%1, %2, %3, %4};"
                 :
                 : "r"(at), "r"(q.x), "r"(q.y), "r"(q.z), "r"(q.w)
                 : "memory");
  } else if constexpr (!TENSOR_CORES) {
    const unsigned word = there ? __ldcg(static_cast<const unsigned*>(from)) : 0;
    asm volatile("st.shared.u32 [%0], %1;" : : "r"(at), "r"(word) : "memory");
  } else if constexpr (SIZE == 16) {  // bypasses the L1 cache
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                 :
                 : "r"(at), "l"(from), "r"(size)
                 : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;"
                 :
                 : "r"(at), "l"(from), "n"(SIZE), "r"(size)
                 : "memory");
  }
}
__device__ inline void close_copies() {
  if (TENSOR_CORES) asm volatile("cp.async.commit_group;" ::: "memory");
}
template <int N>
__device__ inline void wait_copies() {
  if (TENSOR_CORES) asm volatile("cp.async.wait_group %0;" : : "n"(N) : "memory");
}
// Prefetch a line of memory into the L2 cache.
__device__ inline void fetch(const void* at) {
  asm volatile("prefetch.global.L2 [%0];" : : "l"(at));
}
#endif

#ifdef PROFILE  // the cycles at which block 0 arrived at each barrier, and left it
__device__ long long profile[2 * 4096];
#endif

#ifdef EMU
__device__ inline void arrive(unsigned* counter) { atomicAdd(counter, 1u); }
__device__ inline unsigned arrived(const unsigned* counter) {
  return *static_cast<const volatile unsigned*>(counter);
}
#else
__device__ inline void arrive(unsigned* counter) {
  asm volatile("red.release.gpu.global.add.u32 [%0], 1;" : : "l"(counter) : "memory");
}
__device__ inline unsigned arrived(const unsigned* counter) {
  unsigned count;
  asm volatile("ld.acquire.gpu.global.u32 %0, [%1];"
               : "=r"(count)
               : "l"(counter)
               : "memory");
  return count;
}
#endif

// Wait for all blocks; what they have written is visible afterwards. The counter only
// rises; `reached` is its value once all blocks have arrived, the same in every block.
__device__ inline void grid_barrier(unsigned* counter, unsigned& reached) {
  reached += BLOCKS;
  __syncthreads();
#ifdef PROFILE
  const unsigned number = reached / BLOCKS - 1;
  const bool timed = blockIdx.x == 0 && threadIdx.x == 0 && number < 4096;
  if (timed) profile[2 * number] = clock64();
#endif
  if (threadIdx.x == 0) {
    arrive(counter);
    while (static_cast<int>(arrived(counter) - reached) < 0) SPIN();
  }
  __syncthreads();
#ifdef PROFILE
  if (timed) profile[2 * number + 1] = clock64();
#endif
}

// The sum of x over the lanes of a warp, in every lane.
__device__ inline float sum_of_warp(float x) {
  for (int apart = WARP / 2; apart > 0; apart /= 2) {
    x += __shfl_xor_sync(0xffffffffu, x, apart);
  }
  return x;
}

__device__ inline float max_of_warp(float x) {
  for (int apart = WARP / 2; apart > 0; apart /= 2) {
    x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, apart));
  }
  return x;
}

// The sums of N numbers over the lanes of a warp: lane i gets the sum of x[i · N / 32]. At
// each level, a lane gives half of its numbers to the lane APART away, and adds the other
// half to what it receives. Recursive, because only an array whose indices are known at
// compile time stays in registers.
template <int N, int APART = WARP / 2>
__device__ inline float sums_of_warp(const float (&x)[N]) {
  if constexpr (APART == 0) {
    return x[0];
  } else if constexpr (N == 1) {
    const float sum[1] = {x[0] + __shfl_xor_sync(0xffffffffu, x[0], APART)};
    return sums_of_warp<1, APART / 2>(sum);
  } else {
    const bool upper = lane() & APART;
    float sums[N / 2];
#pragma unroll
    for (int i = 0; i < N / 2; i++) {
      const float given = upper ? x[i] : x[i + N / 2];
      sums[i] = (upper ? x[i + N / 2] : x[i]) + __shfl_xor_sync(0xffffffffu, given, APART);
    }
    return sums_of_warp<N / 2, APART / 2>(sums);
  }
}

// The sum of x over the threads of a block, in every thread.
__device__ inline float sum_of_block(float x) {
  x = sum_of_warp(x);
  __syncthreads();  // the last sum has been read
  if (lane() == 0) scratch()[warp()] = x;
  __syncthreads();
  float sum = 0.f;
  for (int w = 0; w < WARPS; w++) sum += scratch()[w];
  return sum;
}
