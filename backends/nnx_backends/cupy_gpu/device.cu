// What the other files share: places of threads, memory, the barrier, random words.
//
// Between two grid barriers no block writes what another reads. What any block has
// written in this launch is read by __ldcg, past the first cache, which is not coherent.

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

__device__ inline int lane() { return threadIdx.x % WARP; }
__device__ inline int warp() { return threadIdx.x / WARP; }

// Four neighbouring numbers, one access of memory.
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

#ifdef PROFILE  // when the first block came to each barrier and when it went on, in cycles
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

// Wait until every block is here, and see what all have written. The counter only
// rises; `reached` is where it will be then, the same in every block.
__device__ inline void grid_barrier(unsigned* counter, unsigned& reached) {
  reached += gridDim.x;
  __syncthreads();
#ifdef PROFILE
  const unsigned number = reached / gridDim.x - 1;
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

// The sum of a number of each lane, in every lane.
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

// The sums of N numbers of each lane: lane i gets that of number i · N / 32.
template <int N>
__device__ inline float sums_of_warp(float (&x)[N]) {
  int apart = WARP / 2;
#pragma unroll
  for (int half = N / 2; half > 0; half /= 2, apart /= 2) {
    const bool upper = lane() & apart;
#pragma unroll
    for (int i = 0; i < half; i++) {
      const float given = upper ? x[i] : x[i + half];
      x[i] = (upper ? x[i + half] : x[i]) + __shfl_xor_sync(0xffffffffu, given, apart);
    }
  }
  for (; apart > 0; apart /= 2) x[0] += __shfl_xor_sync(0xffffffffu, x[0], apart);
  return x[0];
}

// The sum of a number of each thread, in every thread; scratch: WARPS numbers.
__device__ inline float sum_of_block(float x, float* scratch) {
  x = sum_of_warp(x);
  __syncthreads();  // the last sum has been read
  if (lane() == 0) scratch[warp()] = x;
  __syncthreads();
  float sum = 0.f;
  for (int w = 0; w < WARPS; w++) sum += scratch[w];
  return sum;
}

struct Words {
  unsigned w[4];
};

// Philox-4x32-10 of Salmon, Moraes, Dror and Shaw, SC 2011, as in `nnx.maths.random`.
__device__ inline Words philox(Words counter, unsigned key0, unsigned key1) {
  unsigned a = counter.w[0], b = counter.w[1], c = counter.w[2], d = counter.w[3];
  for (int round = 0; round < 10; round++) {
    const unsigned high0 = __umulhi(a, 0xD2511F53u), low0 = a * 0xD2511F53u;
    const unsigned high1 = __umulhi(c, 0xCD9E8D57u), low1 = c * 0xCD9E8D57u;
    a = high1 ^ b ^ key0;
    c = high0 ^ d ^ key1;
    b = low1;
    d = low0;
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return {{a, b, c, d}};
}

// What dropout multiplies a layer's input by, as `nnx.maths.dropout.mask` has it: a
// unit has half of a word, and 16 neighbouring counters serve 128 units.
__device__ inline float kept(unsigned layer, int row, int unit, unsigned step,
                             unsigned key0, unsigned key1) {
  const int least = layer == 0 ? INPUT_DROPOUT : DROPOUT;
  const unsigned counter = unit / 128 * 16 + unit % 16, half = unit % 128 / 16;
  const Words words = philox(
      {{counter, static_cast<unsigned>(row), step, DROPOUT_STREAM + (layer << 8u)}},
      key0, key1);
  const unsigned drawn = words.w[half / 2] >> (half % 2 * 16) & 0xffffu;
  return drawn >= least ? 65536.f / (65536 - least) : 0.f;
}
