// Matrix products of 32 × 32 tiles on tensor cores, as exact as in float32.
//
// A float32 number is the sum of two of TF32, which has 11 bits, and the rest of 2⁻²²:
// x = high + low; the product of two is high·high + high·low + low·high, without low·low
// (Ootomo and Yokota, arXiv:2203.03341). A pixel, a byte, is one TF32 number. Every 8
// products are summed by the tensor core, which rounds towards zero, and those sums by
// float32 additions, which round to nearest.
//
// A warp takes every SPLIT-th 16 of the sum's terms and computes the whole tile for them,
// straight from memory: no other warp needs these numbers. Then the warps' tiles are
// added up in shared memory. All warps of a block share one tile, or, where there are
// more tiles than blocks, each half of them has its own. Of a tile's rows, as of its
// columns, four neighbours belong to one group of four lanes, so that each access is of
// 16 bytes.

constexpr int TILE = 32, DEEP = 16;
constexpr int PART = 36 * 8;         // numbers of four, a warp's tile with gaps
constexpr int PARTS = PART * WARPS;  // and all warps'

__device__ inline int group() { return lane() / 4; }
__device__ inline int member() { return lane() % 4; }

#ifdef EMU
__device__ inline unsigned tf32(float x) {
  return (__float_as_uint(x) + 0x1000u) & 0xffffe000u;
}
__device__ inline void multiply_add(float* c, const unsigned* a, const unsigned* b) {
  emu_mma_tf32_16x8x8(c, a, b);
}
#else
__device__ inline unsigned tf32(float x) {
  unsigned rounded;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(x));
  return rounded;
}
__device__ inline void multiply_add(float* c, const unsigned* a, const unsigned* b) {
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
#endif

// A lane's part of a factor: R of 8 R rows (or columns), R group + i, and 4 of 16 terms,
// 4 member + k. Each factor takes its part as it lies in memory, and gives number (i, k).
// R is 4, or 2 for a left factor: a tile of 16 rows, where there are few tiles.

// Terms lie next to each other: rows of a left factor, columns of a transposed right one.
template <int R>
struct TermsTogether {
  static constexpr bool exact = false;
  static constexpr int rows = R;
  struct Part {
    Four row[R];
  };
  const float* at;
  int stride;
  __device__ TermsTogether(const float* first, int stride)
      : at(first + R * group() * stride + 4 * member()), stride(stride) {}
  __device__ void take(Part& part, int term) const {
#pragma unroll
    for (int i = 0; i < R; i++) part.row[i] = load(at + i * stride + term);
  }
  __device__ static float number(const Part& part, int i, int k) {
    return part.row[i].v[k];
  }
};

// Terms lie a row apart: a transposed left factor, or a right one.
struct TermsApart {
  static constexpr bool exact = false;
  static constexpr int rows = 4;
  struct Part {
    Four term[4];
  };
  const float* at;
  int stride;
  __device__ TermsApart(const float* first, int stride)
      : at(first + 4 * member() * stride + 4 * group()), stride(stride) {}
  __device__ void take(Part& part, int term) const {
#pragma unroll
    for (int k = 0; k < 4; k++) part.term[k] = load(at + (term + k) * stride);
  }
  __device__ static float number(const Part& part, int i, int k) {
    return part.term[k].v[i];
  }
};

__device__ inline float byte_of(unsigned word, int i) {
  return static_cast<float>(word >> (8 * i) & 255u);
}

__device__ inline unsigned four_bytes(const unsigned char* at) {
  return __ldg(reinterpret_cast<const unsigned*>(at));
}

// A batch's images, as they lie in the set: bytes, of which `images` says whose.
template <int R>
struct Pixels {
  static constexpr bool exact = true;
  static constexpr int rows = R;
  struct Part {
    unsigned row[R];
  };
  const unsigned char* row[R];
  __device__ Pixels(const unsigned char* pixels, const int* images, int first,
                    int batch) {
    for (int i = 0; i < R; i++) {
      const int place = first + R * group() + i;
      row[i] = place < batch
                   ? pixels + static_cast<long long>(images[place]) * INPUTS[0]
                   : nullptr;
    }
  }
  __device__ void take(Part& part, int term) const {
    const int k = term + 4 * member();
#pragma unroll
    for (int i = 0; i < R; i++) {
      part.row[i] = row[i] && k < INPUTS[0] ? four_bytes(row[i] + k) : 0u;
    }
  }
  __device__ static float number(const Part& part, int i, int k) {
    return byte_of(part.row[i], k);
  }
};

struct PixelsApart {
  static constexpr bool exact = true;
  static constexpr int rows = 4;
  struct Part {
    unsigned term[4];
  };
  const unsigned char* pixels;
  const int* images;
  int column, batch;
  __device__ PixelsApart(const unsigned char* pixels, const int* images, int first,
                         int batch)
      : pixels(pixels), images(images), column(first + 4 * group()), batch(batch) {}
  __device__ void take(Part& part, int term) const {
#pragma unroll
    for (int k = 0; k < 4; k++) {
      const int place = term + 4 * member() + k;
      const bool there = place < batch && column < INPUTS[0];
      part.term[k] =
          there ? four_bytes(pixels +
                             static_cast<long long>(images[place]) * INPUTS[0] + column)
                : 0u;
    }
  }
  __device__ static float number(const Part& part, int i, int k) {
    return byte_of(part.term[k], i);
  }
};

// The high and low numbers of two terms of a group's rows.
template <int R>
struct Split {
  unsigned high[R][2], low[R][2];
};

template <class Factor>
__device__ inline Split<Factor::rows> split(const typename Factor::Part& part, int k) {
  Split<Factor::rows> s;
#pragma unroll
  for (int i = 0; i < Factor::rows; i++) {
#pragma unroll
    for (int j = 0; j < 2; j++) {
      const float x = Factor::number(part, i, k + j);
      s.high[i][j] = Factor::exact ? __float_as_uint(x) : tf32(x);
      s.low[i][j] =
          Factor::exact ? 0u : __float_as_uint(x - __uint_as_float(s.high[i][j]));
    }
  }
  return s;
}

// Add 16 terms to a warp's tile; sums[a][b][i] is the tensor core's form.
template <class Left, class Right>
__device__ inline void add_terms(float (&sums)[Left::rows / 2][4][4],
                                 const typename Left::Part& left,
                                 const typename Right::Part& right) {
#pragma unroll
  for (int k = 0; k < 4; k += 2) {
    const auto l = split<Left>(left, k);
    const auto r = split<Right>(right, k);
#pragma unroll
    for (int a = 0; a < Left::rows / 2; a++) {
      const int i = 2 * a;
      const unsigned high[4] = {l.high[i][0], l.high[i + 1][0], l.high[i][1],
                                l.high[i + 1][1]};
      const unsigned low[4] = {l.low[i][0], l.low[i + 1][0], l.low[i][1],
                               l.low[i + 1][1]};
#pragma unroll
      for (int b = 0; b < 4; b++) {
        float sum[4] = {0.f, 0.f, 0.f, 0.f};
        multiply_add(sum, high, r.low[b]);
        if (!Left::exact) multiply_add(sum, low, r.high[b]);
        multiply_add(sum, high, r.high[b]);
#pragma unroll
        for (int j = 0; j < 4; j++) sums[a][b][j] += sum[j];
      }
    }
  }
}

// How many warps share a tile, where there are so many.
__device__ constexpr int split_of(int tiles) {
  return tiles <= BLOCKS ? WARPS : WARPS / 2;
}

// A thread's tile and its place there: a row, and the first of four columns.
struct Place {
  int item, row, column;
  bool there;  // whether there is such a tile, and this thread finishes it
};

// So many threads have four numbers each of a finished tile.
__device__ constexpr int finishers(int rows_of_group) { return 8 * rows_of_group * 8; }

// turn: of the block's turns, in each of which it has WARPS / SPLIT of so many tiles
template <int SPLIT, int R>
__device__ inline Place own_place(int turn, int tiles) {
  const int item = turn * (WARPS / SPLIT) + warp() / SPLIT;
  const int t = threadIdx.x % (WARP * SPLIT);
  return {item < tiles ? item : -1, t / 8, t % 8 * 4, item < tiles && t < finishers(R)};
}

// The numbers at own_place() of left · right; every thread of a block calls it.
// Compiled once for each kind of factors, whatever the layer.
// deep: terms in sixteens, 0 where there is no tile; parts: PARTS × 4 numbers, others
// than the last call's
template <int SPLIT, class Left, class Right>
__device__ __noinline__ Four multiply(Left left, Right right, int deep, float* parts) {
  constexpr int R = Left::rows;
  float sums[R / 2][4][4] = {};
  for (int k = warp() % SPLIT; k < deep; k += SPLIT) {
    typename Left::Part l;
    typename Right::Part r;
    left.take(l, k * DEEP);
    right.take(r, k * DEEP);
    add_terms<Left, Right>(sums, l, r);
  }
#pragma unroll
  for (int a = 0; a < R / 2; a++) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const int quad = 4 * a + i;  // row 2 a + i / 2 of the group's, column's half i % 2
      float* at = parts + (warp() * PART + quad * 36 + lane()) * 4;
      store(at, {sums[a][0][i], sums[a][1][i], sums[a][2][i], sums[a][3][i]});
    }
  }
  __syncthreads();
  Four sum = {};
  const int t = threadIdx.x % (WARP * SPLIT), row = t / 8, column = t % 8;
  if (t >= finishers(R)) return sum;
  const int quad = row % R * 2 + column % 2, from = row / R * 4 + column / 2;
  const int first = warp() / SPLIT * SPLIT;
  const float* at = parts + (first * PART + quad * 36 + from) * 4;
#pragma unroll
  for (int w = 0; w < SPLIT; w++) {
    const float4 q = *reinterpret_cast<const float4*>(at + w * PART * 4);
    sum.v[0] += q.x, sum.v[1] += q.y, sum.v[2] += q.z, sum.v[3] += q.w;
  }
  return sum;
}
