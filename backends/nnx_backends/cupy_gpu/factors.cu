// The factors of a product: their places in memory, how they are copied into shared memory,
// and how lanes take them from there.
//
// A unit is 16 terms of a tile's rows (in a left factor) or columns (in a right one).
// `unit` is its size in numbers of four bytes, and it is copied in pieces of 16 bytes. A
// tile has 8 R rows, or columns; R is 4, or less if there are few tiles. A lane takes R
// of these, R group + i, and four of the terms, 4 member + k. Neighboring rows, or
// columns, belong to one group, so that one access has 4 R bytes. Pieces are placed in a
// unit so that the lanes that are served at once access all banks.

constexpr int PIECES = TILE * DEEP / 4;  // of a unit where R is 4

__device__ inline int group() { return lane() / 4; }
__device__ inline int member() { return lane() % 4; }

// Take N numbers from shared memory in one access; the first one's place is a multiple of
// N.
template <int N>
__device__ inline void take_shared(float (&to)[N], const float* at) {
  if constexpr (N == 4) {
    const float4 q = *reinterpret_cast<const float4*>(at);
    to[0] = q.x, to[1] = q.y, to[2] = q.z, to[3] = q.w;
  } else if constexpr (N == 2) {
    const float2 q = *reinterpret_cast<const float2*>(at);
    to[0] = q.x, to[1] = q.y;
  } else {
    to[0] = *at;
  }
}

__device__ inline Four shared_four(const float* at) {
  Four four;
  take_shared(four.v, at);
  return four;
}

// A thread copies one piece of each of a tile's units, or EACH pieces that are STEP pieces
// apart. Its `Pieces` say where they are for the first term, and their place in a unit.

// A factor whose terms are contiguous: rows of a left factor, or columns of a transposed
// right one. first: the start of the patch's first tile; tiles: those within the grid
template <int R>
struct TermsTogether {
  static constexpr bool exact = false;
  static constexpr int rows = R;
  static constexpr int unit = 8 * R * DEEP;
  struct Part {
    Four row[R];
  };
  struct Pieces {
    const float* from;
    int place;  // bytes
    int row;
  };
  const float* first;
  int stride, tiles;

  __device__ static int place(int row, int chunk) {
    const int half = (row ^ row >> 1 ^ row >> 2) & 1;
    return ((row >> 1) * 8 + half * 4 + chunk) * 4;
  }
  template <int STEP, int EACH>
  __device__ Pieces pieces(int number, int tile) const {
    const int row = number / 4, chunk = number % 4;
    return {first + (tile * 8 * R + row) * stride + 4 * chunk, 4 * place(row, chunk),
            tile < tiles ? row : 8 * R};
  }
  template <int STEP, int EACH>
  __device__ void copy(const Pieces& p, Shared unit, int term) const {
    if (p.row >= 8 * R) return;
    const float* from = p.from + term;
#pragma unroll
    for (int e = 0; e < EACH && STEP / 4 * e < 8 * R; e++) {
      copy_async<16>(unit + p.place + STEP * 16 * e, from + STEP / 4 * e * stride);
    }
  }
  __device__ static void take(Part& part, const float* unit) {
#pragma unroll
    for (int i = 0; i < R; i++) {
      part.row[i] = shared_four(unit + place(R * group() + i, member()));
    }
  }
  __device__ static float number(const Part& part, int i, int k) {
    return part.row[i].v[k];
  }
};

// A factor whose terms are a row apart: a transposed left factor, or a right one.
template <int R>
struct TermsApart {
  static constexpr bool exact = false;
  static constexpr int rows = R;
  static constexpr int unit = 8 * R * DEEP;
  struct Part {
    float term[4][R];
  };
  struct Pieces {
    const float* from;  // null: there is no such tile
    int place;          // bytes
  };
  const float* first;
  int stride, tiles;

  // Terms with the same index among their lane's four are stored next to each other.
  __device__ static int place(int term, int chunk) {
    const int swapped = chunk ^ term / 4 * R / 4 * 2;
    return (term % 4 * 4 + term / 4) * 8 * R + swapped * 4;
  }
  // A thread's pieces belong to neighboring terms, at most four.
  template <int STEP>
  static constexpr int terms = STEP < 2 * R * DEEP ? 2 * R * DEEP / STEP : 1;
  template <int STEP, int EACH>
  __device__ Pieces pieces(int number, int tile) const {
    const int term = number / (2 * R) * terms<STEP>, chunk = number % (2 * R);
    const float* from = first + term * stride + tile * 8 * R + 4 * chunk;
    return {tile < tiles ? from : nullptr, 4 * place(term, chunk)};
  }
  template <int STEP, int EACH>
  __device__ void copy(const Pieces& p, Shared unit, int term) const {
    if (!p.from) return;
    const float* from = p.from + term * stride;
#pragma unroll
    for (int e = 0; e < terms<STEP>; e++) {
      copy_async<16>(unit + p.place + e * 128 * R, from + e * stride);
    }
  }
  __device__ static void take(Part& part, const float* unit) {
    const int column = R * group();
#pragma unroll
    for (int k = 0; k < 4; k++) {
      const float* at = unit + place(4 * member() + k, column / 4) + column % 4;
      take_shared<R>(part.term[k], at);
    }
  }
  __device__ static float number(const Part& part, int i, int k) {
    return part.term[k][i];
  }
};

__device__ inline float byte_of(unsigned word, int i) {
  return static_cast<float>(word >> (8 * i) & 255u);
}

// A batch's images, where they are in the data set, as bytes; `images` has their numbers.
// They are copied in pieces of four bytes, or of zeros where there is no image or pixel.
struct Bytes {
  const unsigned char* pixels;
  const Number* images;
  int batch;

  __device__ const unsigned char* image(int place) const {
    return pixels + static_cast<long long>(images[place]) * INPUTS[0];
  }
};

// Pixels as a left factor, a row for each image. first: the first image of the patch's
// first tile
template <int R>
struct Pixels {
  static constexpr bool exact = true;
  static constexpr int rows = R;
  static constexpr int unit = 8 * R * DEEP / 4;
  struct Part {
    unsigned row[R];
  };
  struct Pieces {
    const unsigned char* from[4];  // null: there is no such image
    int number, row;
  };
  Bytes bytes;
  int first, tiles;

  template <int STEP, int EACH>
  __device__ Pieces pieces(int number, int tile) const {
    Pieces p = {{}, number, tile < tiles ? number / 4 : 8 * R};
#pragma unroll
    for (int e = 0; e < EACH; e++) {
      const int image = first + tile * 8 * R + number / 4 + STEP / 4 * e;
      p.from[e] = image < bytes.batch ? bytes.image(image) : nullptr;
    }
    return p;
  }
  template <int STEP, int EACH>
  __device__ void copy(const Pieces& p, Shared unit, int term) const {
    const int column = term + p.number % 4 * 4;
    if (p.row >= 8 * R) return;
#pragma unroll
    for (int e = 0; e < EACH && STEP / 4 * e < 8 * R; e++) {
      const bool there = p.from[e] && column < INPUTS[0];
      const unsigned char* from = there ? p.from[e] + column : bytes.pixels;
      copy_async<4>(unit + 4 * (p.number + STEP * e), from, there);
    }
  }
  __device__ static void take(Part& part, const float* unit) {
#pragma unroll
    for (int i = 0; i < R; i++) {
      part.row[i] = __float_as_uint(unit[(R * group() + i) * 4 + member()]);
    }
  }
  __device__ static float number(const Part& part, int i, int k) {
    return byte_of(part.row[i], k);
  }
};

// Pixels as a transposed left factor, whose terms are images. first: the first pixel of the
// patch's first tile
struct PixelsApart {
  static constexpr bool exact = true;
  static constexpr int rows = 4;
  static constexpr int unit = TILE * DEEP / 4;
  struct Part {
    unsigned term[4];
  };
  struct Pieces {
    int number, column;  // column -1: there is no such tile
  };
  Bytes bytes;
  int first, tiles;

  template <int STEP, int EACH>
  __device__ Pieces pieces(int number, int tile) const {
    return {number, tile < tiles ? first + tile * TILE + number % 8 * 4 : -1};
  }
  template <int STEP, int EACH>
  __device__ void copy(const Pieces& p, Shared unit, int term) const {
    if (p.column < 0) return;
#pragma unroll
    for (int e = 0; e < EACH; e++) {
      const int image = term + p.number / 8 + STEP / 8 * e;
      const bool there = image < bytes.batch && p.column < INPUTS[0];
      const unsigned char* from = there ? bytes.image(image) + p.column : bytes.pixels;
      copy_async<4>(unit + 4 * (p.number + STEP * e), from, there);
    }
  }
  __device__ static void take(Part& part, const float* unit) {
#pragma unroll
    for (int k = 0; k < 4; k++) {
      part.term[k] = __float_as_uint(unit[(4 * member() + k) * 8 + group()]);
    }
  }
  __device__ static float number(const Part& part, int i, int k) {
    return byte_of(part.term[k], i);
  }
};
