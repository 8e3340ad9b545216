// What is done with a layer, tile by tile: products forward and back, and updates.

// A step as one block sees it. rows: of the batch, whole sixteens and thirty-twos.
struct Step {
  const Run& run;
  const Hyper* hyper;
  unsigned number;
  int batch, deep, tiles;
  int turn;            // of the batch's images
  float each;          // what an image's slope is divided by
  int* images;         // shared: the batch's, and the next one's after BATCH_ROWS
  float *head, *scratch, *parts;  // shared: the last layer's weights, and room
  int part_turn;
};

constexpr int LAST = LAYERS - 1;

__device__ inline const unsigned char* bytes_of(const Step& s) {
  return static_cast<const unsigned char*>(s.run.pixels);
}

__device__ inline const int* images_of(const Step& s) {
  return s.images + s.turn * BATCH_ROWS;
}

// Room for a tile's parts; while some threads still read one half, others write the other.
__device__ inline float* next_parts(Step& s) {
  s.part_turn = 1 - s.part_turn;
  return s.parts + s.part_turn * PARTS * 4;
}

// Rows that a group of lanes has of a layer's outputs, and their tiles of eight groups.
__device__ constexpr int rows_of_group(int layer) {
  return 2 * (BATCH_ROWS / TILE) * (WIDTH[layer] / TILE) <= BLOCKS ? 2 : 4;
}

__device__ constexpr int forward_tiles(int layer) {
  return BATCH_ROWS / (8 * rows_of_group(layer)) * (WIDTH[layer] / TILE);
}

// Tiles of a layer's weights.

__device__ constexpr int update_tiles(int layer) {
  return ROWS[layer] / TILE * (WIDTH[layer] / TILE);
}

// Turns in which all blocks together take so many tiles, so many warps to each.
__device__ constexpr int turns(int tiles, int split) {
  return (tiles + WARPS / split - 1) / (WARPS / split);
}

template <int L>
__device__ inline const float* input(const Step& s) {
  if constexpr (L == 0) {
    return s.run.images + static_cast<long long>(s.turn) * BATCH_ROWS * ROWS[0];
  } else {
    return s.run.inputs + AT[L - 1];
  }
}

// Set what follows four z of a layer's row: y, and the next layer's inputs.
template <int L>
__device__ inline void set_outputs(const Step& s, int row, int column, const Four& z) {
  constexpr int KIND = ACTIVATION[L];
  const int at = AT[L] + row * WIDTH[L] + column;
  Four out = {}, next = {};
  for (int i = 0; i < 4; i++) {
    if (row >= s.batch || column + i >= OUTPUTS[L]) continue;
    const float y = activate<KIND>(z.v[i]);
    out.v[i] = from_z(KIND) ? z.v[i] : y;
    next.v[i] = y;
    if (DROPOUT > 0) {
      next.v[i] *=
          kept(L + 1, row, column + i, s.number, s.run.key0, s.run.key1);
    }
  }
  store(s.run.inputs + at, next);
  if (OUTPUTS_APART) store(s.run.outputs + at, out);
}

// Set the slope with respect to z of four units, from that with respect to their y.
template <int L>
__device__ inline void set_slopes(const Step& s, int row, int column, const Four& dy) {
  const int at = AT[L] + row * WIDTH[L] + column;
  const Four seen = load((OUTPUTS_APART ? s.run.outputs : s.run.inputs) + at);
  Four dz = {};
  for (int i = 0; i < 4; i++) {
    if (row >= s.batch || column + i >= OUTPUTS[L]) continue;
    float d = dy.v[i];
    if (DROPOUT > 0) {
      d *= kept(L + 1, row, column + i, s.number, s.run.key0, s.run.key1);
    }
    dz.v[i] = d * slope<ACTIVATION[L]>(seen.v[i]);
  }
  store(s.run.slopes + at, dz);
}

template <int L>
__device__ void forward_tile(Step& s, int turn) {
  constexpr int SPLIT = split_of(forward_tiles(L)), R = rows_of_group(L);
  const int rows = R == 2 ? s.deep : s.tiles;  // of tiles
  const Place place = own_place<SPLIT, R>(turn, rows * (WIDTH[L] / TILE));
  const int m = place.item % rows * 8 * R, n = place.item / rows * TILE;
  const int deep = place.item < 0 ? 0 : ROWS[L] / DEEP;
  const int row = m + place.row, column = n + place.column;
  const TermsApart weight(s.run.parameters + WEIGHT_AT[L] + n, COLUMNS[L]);
  Four bias = {};
  if (!NORMALIZED && place.there) bias = load(s.run.parameters + BIAS_AT[L] + column);
  Four z;
  if constexpr (L == 0 && BYTES) {
    const Pixels<R> x(bytes_of(s), images_of(s), m, deep > 0 ? s.batch : 0);
    z = multiply<SPLIT>(x, weight, deep, next_parts(s));
    for (int i = 0; i < 4; i++) z.v[i] *= s.hyper->pixel_scale;
  } else {
    const TermsTogether<R> x(input<L>(s) + m * ROWS[L], ROWS[L]);
    z = multiply<SPLIT>(x, weight, deep, next_parts(s));
  }
  if (!place.there) return;
  if constexpr (NORMALIZED) {
    store(s.run.normalized + AT[L] + row * WIDTH[L] + column, z);
  } else {
    for (int i = 0; i < 4; i++) z.v[i] += bias.v[i];
    set_outputs<L>(s, row, column, z);
  }
}

// The slope of layer L - 1, from that of layer L.
template <int L>
__device__ void backward_tile(Step& s, int turn) {
  constexpr int SPLIT = split_of(forward_tiles(L - 1)), R = rows_of_group(L - 1);
  const int rows = R == 2 ? s.deep : s.tiles;
  const Place place = own_place<SPLIT, R>(turn, rows * (ROWS[L] / TILE));
  const int m = place.item % rows * 8 * R, n = place.item / rows * TILE;
  const TermsTogether<R> dz(s.run.slopes + AT[L] + m * WIDTH[L], WIDTH[L]);
  const TermsTogether<4> weight(s.run.parameters + WEIGHT_AT[L] + n * COLUMNS[L], COLUMNS[L]);
  const Four dy = multiply<SPLIT>(dz, weight, place.item < 0 ? 0 : WIDTH[L] / DEEP,
                                  next_parts(s));
  if (place.there) set_slopes<L - 1>(s, m + place.row, n + place.column, dy);
}

// Keep an item's sum of squares for the gradient's norm.
__device__ inline void keep_square(Step& s, int slot, float square) {
  if constexpr (CLIPPED) {
    const float sum = sum_of_block(square, s.scratch);
    if (threadIdx.x == 0) s.run.squares[slot] = sum;
  }
}

template <int L>
__device__ void update_tile(Step& s, int turn) {
  constexpr int SPLIT = split_of(update_tiles(L)), ACROSS = WIDTH[L] / TILE;
  const Place place = own_place<SPLIT, 4>(turn, update_tiles(L));
  const int m = place.item / ACROSS * TILE, n = place.item % ACROSS * TILE;
  const int row = m + place.row, column = n + place.column;
  const int deep = place.item < 0 ? 0 : s.deep;
  const bool there = place.there && column < COLUMNS[L];
  Parameters own(s.run, WEIGHT_AT[L] + (there ? row * COLUMNS[L] + column : 0));
  const TermsApart dz(s.run.slopes + AT[L] + n, WIDTH[L]);
  Gradient gradient = {{}, true};
  if constexpr (L == 0 && BYTES) {
    const PixelsApart x(bytes_of(s), images_of(s), m, s.batch);
    gradient.slope = multiply<SPLIT>(x, dz, deep, next_parts(s));
    for (int i = 0; i < 4; i++) gradient.slope.v[i] *= s.hyper->pixel_scale;
  } else {
    const TermsApart x(input<L>(s) + m, ROWS[L]);
    gradient.slope = multiply<SPLIT>(x, dz, deep, next_parts(s));
  }
  float square = 0.f;
  if (there) square = use_gradient(s.run, *s.hyper, own, gradient);
  keep_square(s, SQUARES_AT[L] + turn, square);
}
