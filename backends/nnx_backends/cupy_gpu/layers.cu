// Work on a layer, tile by tile: products of the forward and the backward pass, and
// updates.

// The numbers of a step's images, in shared memory or, if the batch is too large for it,
// where the epoch's order lies; steps count from the launch's first.
__device__ inline const Number* images(const Run& run, int step) {
  if (ORDER_SHARED) return reinterpret_cast<const Number*>(shared_order(step));
  const long long from = run.at + static_cast<long long>(step) * BATCH;
  return reinterpret_cast<const Number*>(run.order + from);
}

// A step as one block sees it. step: its number in this launch; batch: how many images
struct Step {
  const Run& run;
  const Hyper* hyper;
  int step, batch;

  __device__ unsigned number() const { return static_cast<unsigned>(run.begin + step); }
  __device__ const Number* own_images() const { return images(run, step); }
  // The batch's rows, in sixteens.
  __device__ int deep() const { return (batch + DEEP - 1) / DEEP; }
};

constexpr int LAST = LAYERS - 1;

__device__ constexpr bool normalized(int layer) { return NORMALIZED && layer < LAST; }
__device__ constexpr bool dropped_after(int layer) { return DROPOUT > 0 && layer < LAST; }

__device__ inline Bytes bytes_of(const Step& s) {
  return {static_cast<const unsigned char*>(s.run.pixels), s.own_images(), s.batch};
}

// The patches of a layer's outputs, or of the slopes with respect to them, and of its
// weights.
template <int L>
using Outputs = Patch<OUTPUTS_DOWN[L], OUTPUTS_ACROSS[L]>;
template <int L>
using Weights = Patch<WEIGHTS_DOWN[L], WEIGHTS_ACROSS[L]>;

// The grid of tiles of a layer's outputs, for a whole batch; a tile has 8 · GROUP_ROWS rows
// and 8 · GROUP_COLUMNS columns.
__device__ constexpr int high(int layer) { return BATCH_ROWS / (8 * GROUP_ROWS[layer]); }
__device__ constexpr int wide(int layer) { return WIDTH[layer] / (8 * GROUP_COLUMNS[layer]); }

template <int L>
__device__ inline const float* input(const Step& s) {
  if constexpr (L == 0) {
    return s.run.images + static_cast<long long>(s.step % 2) * BATCH_ROWS * ROWS[0];
  } else {
    return s.run.inputs + AT[L - 1];
  }
}

// From four z in a row of a layer, set the next layer's inputs, and the outputs if apart.
// The last layer's are the logits.
template <int L>
__device__ inline void set_outputs(const Step& s, int row, int column, const Four& z) {
  constexpr int KIND = ACTIVATION[L];
  const int at = AT[L] + row * WIDTH[L] + column;
  Four out = {}, next = {};
  for (int i = 0; i < 4; i++) {
    if (row >= s.batch || column + i >= OUTPUTS[L]) continue;
    const float y = activate<KIND>(z.v[i]);
    out.v[i] = FROM_Z[KIND] ? z.v[i] : y;
    next.v[i] = y;
    if constexpr (dropped_after(L)) {
      next.v[i] *=
          kept(L + 1, row, column + i, s.number(), s.run.key0, s.run.key1);
    }
  }
  store(s.run.inputs + at, next);
  if (OUTPUTS_APART) store(s.run.outputs + at, out);
}

// Set the slopes with respect to z of four units, from those with respect to their y.
// seen: y, or z; see from_z
template <int L>
__device__ inline void set_slopes(const Step& s, int row, int column, const Four& dy,
                                  const Four& seen) {
  Four dz = {};
  for (int i = 0; i < 4; i++) {
    if (row >= s.batch || column + i >= OUTPUTS[L]) continue;
    float d = dy.v[i];
    if (DROPOUT > 0) {
      d *= kept(L + 1, row, column + i, s.number(), s.run.key0, s.run.key1);
    }
    dz.v[i] = d * slope<ACTIVATION[L]>(seen.v[i]);
  }
  store(s.run.slopes + AT[L] + row * WIDTH[L] + column, dz);
}

template <int L>
__device__ void forward_patch(const Step& s, int turn) {
  using P = Outputs<L>;
  constexpr int R = GROUP_ROWS[L], C = GROUP_COLUMNS[L], DEPTH = ROWS[L] / DEEP;
  const auto bias = [&](int, int column) {
    return normalized(L) ? Four() : load(s.run.parameters + BIAS_AT[L] + column);
  };
  const auto product = [&](const Corner& at) {
    const int m = at.i * 8 * R;
    const float* columns = s.run.parameters + WEIGHT_AT[L] + at.j * 8 * C;
    const TermsApart<C> weight = {columns, COLUMNS[L], at.across};
    if constexpr (L == 0 && BYTES) {
      multiply<P>(Pixels<R>{bytes_of(s), m, at.down}, weight, DEPTH);
    } else {
      const TermsTogether<R> x = {input<L>(s) + m * ROWS[L], ROWS[L], at.down};
      multiply<P>(x, weight, DEPTH);
    }
  };
  const auto set = [&](int row, int column, Four z, const Four& own) {
    if constexpr (L == 0 && BYTES) {
      for (int i = 0; i < 4; i++) z.v[i] *= s.hyper->pixel_scale;
    }
    if constexpr (normalized(L)) {
      store(s.run.normalized + AT[L] + row * WIDTH[L] + column, z);
    } else {
      for (int i = 0; i < 4; i++) z.v[i] += own.v[i];
      set_outputs<L>(s, row, column, z);
    }
  };
  take_patch<P, R, C>(turn, high(L), wide(L), DEPTH, bias, product, set);
}

// The slope of layer L - 1, from that of layer L.
template <int L>
__device__ void backward_patch(const Step& s, int turn) {
  using P = Outputs<L - 1>;
  constexpr int R = GROUP_ROWS[L - 1], C = GROUP_COLUMNS[L - 1];
  constexpr int DEPTH = WIDTH[L] / DEEP;
  const auto seen = [&](int row, int column) {
    const float* from = OUTPUTS_APART ? s.run.outputs : s.run.inputs;
    return load(from + AT[L - 1] + row * WIDTH[L - 1] + column);
  };
  const auto product = [&](const Corner& at) {
    const float* slopes = s.run.slopes + AT[L] + at.i * 8 * R * WIDTH[L];
    const float* weights = s.run.parameters + WEIGHT_AT[L] + at.j * 8 * C * COLUMNS[L];
    multiply<P>(TermsTogether<R>{slopes, WIDTH[L], at.down},
                TermsTogether<C>{weights, COLUMNS[L], at.across}, DEPTH);
  };
  const auto set = [&](int row, int column, const Four& dy, const Four& y) {
    set_slopes<L - 1>(s, row, column, dy, y);
  };
  take_patch<P, R, C>(turn, high(L - 1), wide(L - 1), DEPTH, seen, product, set);
}

// With clipping, store a work item's sum of squares, for the gradient's norm.
__device__ inline void keep_square(const Step& s, int slot, float square) {
  if constexpr (CLIPPED) {
    const float sum = sum_of_block(square);
    if (threadIdx.x == 0) s.run.squares[slot] = sum;
  }
}

template <int L>
__device__ void update_patch(const Step& s, int turn) {
  using P = Weights<L>;
  const auto parameters = [&](int row, int column) {
    const int own = min(column, COLUMNS[L] - 4);  // columns beyond are not used
    return parameters_at(s.run, WEIGHT_AT[L] + row * COLUMNS[L] + own);
  };
  const auto product = [&](const Corner& at) {
    const int m = at.i * TILE;
    const float* slopes = s.run.slopes + AT[L] + at.j * TILE;
    const TermsApart<4> dz = {slopes, WIDTH[L], at.across};
    if constexpr (L == 0 && BYTES) {
      multiply<P>(PixelsApart{bytes_of(s), m, at.down}, dz, s.deep());
    } else {
      multiply<P>(TermsApart<4>{input<L>(s) + m, ROWS[L], at.down}, dz, s.deep());
    }
  };
  float square = 0.f;
  const auto take_step = [&](int, int column, Four slope, Parameters& own) {
    if (column >= COLUMNS[L]) return;
    if constexpr (L == 0 && BYTES) {
      for (int i = 0; i < 4; i++) slope.v[i] *= s.hyper->pixel_scale;
    }
    square += use_gradient(s.run, *s.hyper, own, {slope, true});
  };
  take_patch<P, 4, 4>(turn, ROWS[L] / TILE, WIDTH[L] / TILE, s.deep(), parameters, product,
                   take_step);
  keep_square(s, SQUARES_AT[L] + turn, square);
}

// Update the biases of 32 units; each warp sums every WARPS-th row of their slopes.
template <int L>
__device__ void update_biases(const Step& s, int item) {
  const float* slopes = s.run.slopes + AT[L] + item * TILE + anew(lane());
  float sum = 0.f, square = 0.f;
#pragma unroll 4
  for (int row = warp(); row < s.batch; row += WARPS) sum += __ldcg(slopes + row * WIDTH[L]);
  __syncthreads();  // the last sums have been read
  scratch()[threadIdx.x] = sum;
  __syncthreads();
  const int four = anew(threadIdx.x);
  if (four < TILE / 4) {
    Parameters own = parameters_at(s.run, BIAS_AT[L] + item * TILE + four * 4);
    Gradient gradient = {{}, false};
    for (int w = 0; w < WARPS; w++) {
      const Four part = shared_four(scratch() + w * WARP + four * 4);
      for (int i = 0; i < 4; i++) gradient.slope.v[i] += part.v[i];
    }
    square = use_gradient(s.run, *s.hyper, own, gradient);
  }
  keep_square(s, SQUARES_AT[L] + WEIGHT_TURNS[L] + item, square);
}
