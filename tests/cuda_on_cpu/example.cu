// A product of matrices in one cooperative launch: every tool that a kernel of nnx has
// use for, small. c[16][8] = a[16][DEPTH] @ b[DEPTH][8], and the largest of c.
#ifdef EMU
#define SPIN() emu_yield()
__device__ void mma(float* c, const unsigned* a, const unsigned* b) {
  emu_mma_tf32_16x8x8(c, a, b);
}
#else
#define SPIN() __nanosleep(20)
__device__ __forceinline__ void mma(float* c, const unsigned* a, const unsigned* b) {
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
#endif

// barrier: two words, 0 at first: how many blocks are here, and how often all were.
__device__ void grid_barrier(unsigned* barrier) {
  __syncthreads();
  if (threadIdx.x == 0) {
    volatile unsigned* turn = barrier + 1;
    unsigned mine = *turn;
    __threadfence();
    if (atomicAdd(barrier, 1u) == gridDim.x - 1) {
      *barrier = 0;
      __threadfence();
      *turn = mine + 1;
    } else {
      while (*turn == mine) SPIN();
    }
    __threadfence();
  }
  __syncthreads();
}

__device__ unsigned tf32_of(const float* x, int row, int column, int columns, bool there) {
  return there ? __float_as_uint(__ldg(x + row * columns + column)) : 0u;
}

// Each warp makes the product over eight of DEPTH, each block adds up its two, and then
// each block adds up all blocks', of which it writes its share.
extern "C" __global__ void __launch_bounds__(64, 1) product(
    const float* a, const float* b, float* partial, float* c, float* largest,
    unsigned* barrier) {
  extern __shared__ __align__(16) float sums[];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int group = lane / 4, t = lane % 4, k = (blockIdx.x * 2 + warp) * 8 + t;
  unsigned left[4], right[2];
  for (int j = 0; j < 2; j++) {
    const int depth = k + 4 * j;
    for (int i = 0; i < 2; i++)
      left[i + 2 * j] = tf32_of(a, group + 8 * i, depth, DEPTH, depth < DEPTH);
    right[j] = tf32_of(b, depth, group, 8, depth < DEPTH);
  }
  float tile[4] = {0, 0, 0, 0};
  mma(tile, left, right);
  for (int i = 0; i < 2; i++)
    *(float2*)(sums + warp * 128 + (group + 8 * i) * 8 + 2 * t) =
        make_float2(tile[2 * i], tile[2 * i + 1]);
  __syncthreads();
  for (int i = threadIdx.x; i < 128; i += 64)
    __stcg(partial + blockIdx.x * 128 + i, sums[i] + sums[128 + i]);
  grid_barrier(barrier);
  float most = -1e30f;
  for (int i = threadIdx.x; i < 128; i += 64) {
    float sum = 0;
    for (int block = 0; block < gridDim.x; block++)
      sum += __ldcg(partial + block * 128 + i);
    if (i % gridDim.x == blockIdx.x) c[i] = sum;
    most = fmaxf(most, sum);
  }
  for (int by = 16; by; by >>= 1) most = fmaxf(most, __shfl_xor_sync(~0u, most, by));
  if (blockIdx.x == 0 && lane == 0) largest[warp] = most;
}
