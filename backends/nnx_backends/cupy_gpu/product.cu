// Matrix products on tensor cores, as accurate as in float32, by tiles of 8 R rows and 8 C
// columns. R and C are 4, or less if there are few tiles.
//
// A float32 number x is split into two TF32 numbers of 11 bits each, x = high + low, but
// for a remainder of 2⁻²². The product of two numbers is high·high + high·low + low·high;
// low·low is left out (Ootomo and Yokota, arXiv:2203.03341). A pixel, which is a byte, is
// exactly one TF32 number. The tensor core, which rounds towards zero, sums 16 terms;
// float32 additions, which round to nearest, add up these sums. If PRECISION is TF32, a
// product is high·high alone; if it is BF16, the factors are rounded to bfloat16, which
// has 8 bits.
//
// Cards without TENSOR_CORES multiply in float32. A lane then adds the same products to the
// same sums, and gets the other lanes' terms by shuffles.
//
// A block computes a patch of neighboring tiles at a time. Each tile has the same number
// of warps, which divide its terms, 16 at a time. The warps that work on the same terms,
// one for each tile, are a team. A team copies its terms into shared memory, some stages
// ahead of those that it multiplies. In the end, the warps leave their parts of the tiles
// in shared memory, where these are added.

constexpr int PART = 36 * 8 * 4;  // numbers of a warp's part of a tile, with gaps

// Add to c, 16 × 8, a product over 8 terms in TF32, or over 16 in bfloat16, two per word.
#ifdef EMU
__device__ inline void add_tf32(float* c, const unsigned* a, const unsigned* b) {
  emu_mma_tf32_16x8x8(c, a, b);
}
__device__ inline void add_bf16(float* c, const unsigned* a, const unsigned* b) {
  emu_mma_bf16_16x8x16(c, a, b);
}
__device__ inline unsigned bf16(float first, float second) {
  return emu_bf16(first) | emu_bf16(second) << 16;
}
#else
__device__ inline void add_tf32(float* c, const unsigned* a, const unsigned* b) {
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
__device__ inline void add_bf16(float* c, const unsigned* a, const unsigned* b) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
// Two numbers rounded to the nearest bfloat16; the first is the lower half of the word.
__device__ inline unsigned bf16(float first, float second) {
  unsigned word;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(second), "f"(first));
  return word;
}
#endif

// The nearest TF32 number. NaN may become 0, but the remainder, x - 0, is then still NaN.
__device__ inline unsigned tf32(float x) {
  const unsigned bits = __float_as_uint(x);
  if (PRECISION == TF32 && !(fabsf(x) < __uint_as_float(0x7f800000u))) return bits;
  return (bits + 0x1000u) & 0xffffe000u;
}

// The high and low parts of four terms of N rows, from `first` on. In bfloat16, high[i][0]
// and high[i][1] are words of two terms each.
template <int N>
struct Split {
  unsigned high[N][4], low[N][4];
};

template <class Factor, int N>
__device__ inline Split<N> split(const typename Factor::Part& part, int first) {
  constexpr bool whole = Factor::exact || !TENSOR_CORES;
  Split<N> s;
#pragma unroll
  for (int i = 0; i < N; i++) {
    float x[4];
#pragma unroll
    for (int k = 0; k < 4; k++) {
      x[k] = Factor::number(part, first + i, k);
      s.high[i][k] = whole ? __float_as_uint(x[k]) : tf32(x[k]);
      s.low[i][k] = whole ? 0u : __float_as_uint(x[k] - __uint_as_float(s.high[i][k]));
    }
    if constexpr (PRECISION == BF16) {
      s.high[i][0] = bf16(x[0], x[1]);
      s.high[i][1] = bf16(x[2], x[3]);
    }
  }
  return s;
}

// The same as for tensor cores below, of one of the lane's terms. In the accumulator, the
// lane has its group's two rows, and a column of each of two groups.
template <int C>
__device__ inline void add_by_lanes(float (&c)[C][4], const unsigned (&a)[2][4],
                                    const unsigned (&b)[C][4], int k) {
  const auto of = [](unsigned word, int from) {
    return __uint_as_float(__shfl_sync(0xffffffffu, word, from));
  };
#pragma unroll
  for (int m = 0; m < 4; m++) {
    const int row = 4 * group() + m, column = 8 * member() + m;
    const float left[2] = {of(a[0][k], row), of(a[1][k], row)};
#pragma unroll
    for (int j = 0; j < C; j++) {
      const float right[2] = {of(b[j][k], column), of(b[j][k], column + 4)};
#pragma unroll
      for (int i = 0; i < 4; i++) c[j][i] += left[i / 2] * right[i % 2];
    }
  }
}

// Add the products of two rows and C columns of each group, over the lane's terms k and
// k + 1. The columns take turns, because an addition to a sum waits for the last one to it.
template <int C>
__device__ inline void add_products(float (&c)[C][4], const unsigned (&a)[2][4],
                                    const unsigned (&b)[C][4], int k) {
  if constexpr (!TENSOR_CORES) {
    add_by_lanes(c, a, b, k);
    add_by_lanes(c, a, b, k + 1);
    return;
  }
  const unsigned left[4] = {a[0][k], a[1][k], a[0][k + 1], a[1][k + 1]};
#pragma unroll
  for (int j = 0; j < C; j++) {
    PRECISION == BF16 ? add_bf16(c[j], left, b[j]) : add_tf32(c[j], left, b[j] + k);
  }
}

// Add 16 terms to a warp's part of a tile; sums[a][b] is an accumulator of the tensor core.
template <class Left, class Right>
__device__ inline void add_terms(float (&sums)[Left::rows / 2][Right::rows][4],
                                 const typename Left::Part& left,
                                 const typename Right::Part& right) {
  constexpr int C = Right::rows;
  const auto r = split<Right, C>(right, 0);
#pragma unroll
  for (int a = 0; a < Left::rows / 2; a++) {
    const auto l = split<Left, 2>(left, 2 * a);
    if constexpr (PRECISION != FULL) {
      add_products(sums[a], l.high, r.high, 0);
      if (PRECISION == TF32) add_products(sums[a], l.high, r.high, 2);
      continue;
    }
    // Small products first. Of all orders of the others, the assembler does best with this.
    float sum[C][4] = {};
    if constexpr (TENSOR_CORES) {
      add_products(sum, l.high, r.low, 0);
      add_products(sum, l.high, r.low, 2);
      if (!Left::exact) add_products(sum, l.low, r.high, 2);
      if (!Left::exact) add_products(sum, l.low, r.high, 0);
    }
    add_products(sum, l.high, r.high, 2);
    add_products(sum, l.high, r.high, 0);
#pragma unroll
    for (int b = 0; b < C; b++) {
      for (int j = 0; j < 4; j++) sums[a][b][j] += sum[b][j];
    }
  }
}

// Neighboring tiles that a block computes at a time. Its teams, of one warp for each tile,
// take 16 terms at a time, in turn.
template <int DOWN, int ACROSS>
struct Patch {
  static constexpr int down = DOWN, across = ACROSS, tiles = DOWN * ACROSS;
  static constexpr int teams = WARPS / tiles;
};

__device__ constexpr int parts_of(int n, int size) { return (n + size - 1) / size; }

// The number of turns for a grid of tiles; in each turn, one block computes one patch.
template <class P>
__device__ constexpr int turns(int high, int wide) {
  return parts_of(high, P::down) * parts_of(wide, P::across);
}

// The first tile of a turn's patch, and how many of the patch's tiles are within the grid.
// It is computed again rather than kept.
struct Corner {
  int i, j, down, across;
};

template <class P>
__device__ inline Corner corner(int turn, int high, int wide) {
  const int rows = parts_of(high, P::down), own = anew(turn);
  const int i = own % rows * P::down, j = own / rows * P::across;
  return {i, j, min(P::down, high - i), min(P::across, wide - j)};
}

// What a thread copies of its team's units, see factors.cu.
template <class P, class Left, class Right>
struct Copies {
  static constexpr int team = WARP * P::tiles;  // threads
  static constexpr int beside = team < PIECES ? 1 : team / PIECES;  // units at a time
  static constexpr int each = team < PIECES ? PIECES / team : 1;    // pieces of a unit
  static constexpr int lefts = P::down / beside, rights = P::across / beside;
  static constexpr int of_lefts = P::down * Left::unit;  // numbers of a stage
  static constexpr int stage = of_lefts + P::across * Right::unit;
  static constexpr int fit = RING / (P::teams * stage), stages = fit < 4 ? fit : 4;
  const Left& left;
  const Right& right;
  const int deep, tile = threadIdx.x % team / PIECES;
  typename Left::Pieces of_left[lefts];
  typename Right::Pieces of_right[rights];

  __device__ Copies(const Left& left, const Right& right, int deep)
      : left(left), right(right), deep(deep) {
    const int number = threadIdx.x % (team < PIECES ? team : PIECES);
#pragma unroll
    for (int n = 0; n < lefts; n++) {
      of_left[n] = left.template pieces<team, each>(number, tile + beside * n);
    }
#pragma unroll
    for (int n = 0; n < rights; n++) {
      of_right[n] = right.template pieces<team, each>(number, tile + beside * n);
    }
  }

  // Begin to copy the 16 terms with this number; to: one of the team's stages.
  __device__ void begin(int term, Shared to) const {
    if (term < deep) {
#pragma unroll
      for (int n = 0; n < lefts; n++) {
        const Shared unit = to + 4 * (tile + beside * n) * Left::unit;
        left.template copy<team, each>(of_left[n], unit, term * DEEP);
      }
#pragma unroll
      for (int n = 0; n < rights; n++) {
        const Shared unit = to + 4 * (of_lefts + (tile + beside * n) * Right::unit);
        right.template copy<team, each>(of_right[n], unit, term * DEEP);
      }
    }
    close_copies();
  }
};

// Leave a warp's part of a tile in shared memory, four numbers of each lane at a time. A
// lane's n-th number is sums[a][b][i], n = 2 C (2 a + i / 2) + C (i % 2) + b. Of every 2 C
// numbers, which are of one row, the first C are from one column of the tensor core's
// accumulators, and the others from the next column.
template <int R, int C>
__device__ inline void leave_part(const float (&sums)[R][C][4]) {
  float* part = ring() + warp() * PART + lane() * 4;
#pragma unroll
  for (int quad = 0; quad < R * C; quad++) {
    Four four;
#pragma unroll
    for (int k = 0; k < 4; k++) {
      const int n = 4 * quad + k, row = n / (2 * C);
      four.v[k] = sums[row / 2][n % C][row % 2 * 2 + n / C % 2];
    }
    store(part + quad * 36 * 4, four);
  }
}

// Multiply, and leave the warps' parts of left · right in shared memory; every thread of
// a block must call it. It is not inlined, and so is compiled once for each kind of
// factors and patch, for all layers.
// deep: the number of terms, in sixteens
template <class P, class Left, class Right>
__device__ __noinline__ void multiply(Left left, Right right, int deep) {
  float sums[Left::rows / 2][Right::rows][4] = {};
  const int team = warp() / P::tiles, tile = warp() % P::tiles;
  const int i = tile % P::down, j = tile / P::down;
  const bool there = i < left.tiles && j < right.tiles;
  using C = Copies<P, Left, Right>;
  constexpr int STAGES = C::stages;
  float* stages = ring() + team * STAGES * C::stage;
  const C copies(left, right, deep);
  const Shared to = shared(stages);
  __syncthreads();  // the previous product has been read
#pragma unroll 1
  for (int n = 0; n < STAGES - 1; n++) {
    copies.begin(team + n * P::teams, to + 4 * n * C::stage);
  }
  int now = 0, next = STAGES - 1;
  for (int term = team; term < deep; term += P::teams) {
    wait_copies<STAGES - 2>();
    sync_team<P::tiles>(team);
    copies.begin(term + (STAGES - 1) * P::teams, to + 4 * next * C::stage);
    if (there) {
      typename Left::Part l;
      typename Right::Part r;
      Left::take(l, stages + now * C::stage + i * Left::unit);
      Right::take(r, stages + now * C::stage + C::of_lefts + j * Right::unit);
      add_terms<Left, Right>(sums, l, r);
    }
    next = now;
    now = now + 1 < STAGES ? now + 1 : 0;
  }
  __syncthreads();  // all terms have been read
  if (team < deep) leave_part(sums);
  __syncthreads();
}

// Four neighboring numbers in a row of a tile of 8 R × 8 C: the n-th four of a patch that a
// thread finishes.
template <class P, int R, int C>
struct Fours {
  static constexpr int each = 8 * R * 2 * C;  // fours of a tile
  static constexpr int count = (P::tiles * each + THREADS - 1) / THREADS;
  int tile, down, across;  // the tile; its row, and the four in the row

  __device__ Fours(int n) {
    const int four = n * THREADS + anew(threadIdx.x);
    tile = four / each, down = four % each / (2 * C), across = four % (2 * C);
  }
  __device__ bool there(const Corner& at) const {
    return tile < P::tiles && tile % P::down < at.down && tile / P::down < at.across;
  }
  __device__ int row(const Corner& at) const {
    return (at.i + tile % P::down) * 8 * R + down;
  }
  __device__ int column(const Corner& at) const {
    return (at.j + tile / P::down) * 8 * C + across * 4;
  }
  // The numbers in a warp's part, as leave_part() has left it. A lane's 2 C neighbors in
  // a row are two fours (C = 4), one four (C = 2), or one together with the next lane's
  // (C = 1).
  __device__ Four own(const float* part) const {
    const int n = down % R * 2 * C + across * 4 % (2 * C);  // of the lane's numbers
    const float* at = part + (n / 4 * 36 + down / R * 4 + across * 4 / (2 * C)) * 4;
    if constexpr (C > 1) return shared_four(at);
    float first[2], next[2];
    take_shared(first, at + n % 4);
    take_shared(next, at + 4 + n % 4);
    return {first[0], first[1], next[0], next[1]};
  }
  // The sum of the warps' parts; deep: the number of terms, in sixteens.
  __device__ Four sum(int deep) const {
    Four sum = {};
#pragma unroll
    for (int w = 0; w < P::teams; w++) {
      if (w >= deep) break;
      const Four part = own(ring() + (w * P::tiles + tile) * PART);
      for (int k = 0; k < 4; k++) sum.v[k] += part.v[k];
    }
    return sum;
  }
};

// Take a turn's patch of a grid of tiles. product(corner) leaves the patch's parts in the
// ring; then work(row, column, four, own) is called for each four of the patch, with own =
// read(row, column), which is read before the product if it is small.
// high, wide: the grid, in tiles; deep: the number of terms, in sixteens
template <class P, int R, int C, class Read, class Product, class Work>
__device__ inline void take_patch(int turn, int high, int wide, int deep, Read read,
                                  Product product, Work work) {
  using F = Fours<P, R, C>;
  using Own = decltype(read(0, 0));
  // Anything larger than a few registers would wait in local memory.
  constexpr bool SMALL = sizeof(Own) <= 32, AHEAD = SMALL && F::count == 1;
  constexpr int TOGETHER = SMALL && F::count > 1 ? 2 : 1;
  Own own[TOGETHER];
  const auto read_from = [&](int first, const Corner& at) {
#pragma unroll
    for (int n = 0; n < TOGETHER; n++) {
      const F four(first + n);
      if (four.there(at)) own[n] = read(four.row(at), four.column(at));
    }
  };
  if (AHEAD) read_from(0, corner<P>(turn, high, wide));
  product(corner<P>(turn, high, wide));
#pragma unroll 1
  for (int first = 0; first < F::count; first += TOGETHER) {
    const Corner at = corner<P>(turn, high, wide);
    if (!AHEAD) read_from(first, at);
#pragma unroll
    for (int n = 0; n < TOGETHER; n++) {
      const F four(first + n);
      if (four.there(at)) work(four.row(at), four.column(at), four.sum(deep), own[n]);
    }
  }
}
