// Many training steps in one cooperative launch; every block is on the chip at once.
//
// A step: each hidden layer's outputs, tile by tile; the last layer with the loss and
// the slope before it, row by row; then, from layer to layer, the slope before a layer
// beside the update of the layer after it. A grid barrier is between two of these.

// The images of one of the run's steps, counted from its first: their numbers.
__device__ inline void take_order(const Step& s, long long step, int turn) {
  const Run& run = s.run;
  const long long from = run.at + step * BATCH;
  for (int i = threadIdx.x; i < BATCH && from + i < run.n; i += THREADS) {
    s.images[turn * BATCH_ROWS + i] = static_cast<int>(run.order[from + i]);
  }
}

__device__ inline int batch_of(const Run& run, long long step) {
  const long long left = run.n - run.at - step * BATCH;
  return left < BATCH ? static_cast<int>(left) : BATCH;
}

constexpr int IMAGE_FOURS = BATCH_ROWS * (ROWS[0] / 4);
constexpr int IMAGE_ITEMS = BYTES ? 0 : (IMAGE_FOURS + THREADS - 1) / THREADS;

// Gather and scale a part of a batch's images; without that bytes are read as they are.
__device__ void set_images(const Step& s, int item, long long step, int turn) {
  const int four = item * THREADS + threadIdx.x;
  if (four >= IMAGE_FOURS) return;
  const int row = four / (ROWS[0] / 4), column = four % (ROWS[0] / 4) * 4;
  const int* images = s.images + turn * BATCH_ROWS;
  Four x = {};
  for (int i = 0; i < 4; i++) {
    if (row >= batch_of(s.run, step) || column + i >= INPUTS[0]) continue;
    const long long at = static_cast<long long>(images[row]) * INPUTS[0] + column + i;
    x.v[i] = static_cast<float>(static_cast<const Pixel*>(s.run.pixels)[at]);
    x.v[i] *= s.hyper->pixel_scale;
    if (INPUT_DROPOUT > 0) {
      x.v[i] *= kept(0, row, column + i, static_cast<unsigned>(s.run.begin + step),
                     s.run.key0, s.run.key1);
    }
  }
  store(s.run.images + (static_cast<long long>(turn) * BATCH_ROWS + row) * ROWS[0] + column,
        x);
}

// Add the batch's losses and scores to the epoch's.
__device__ void add_losses(const Step& s) {
  float loss = 0.f, score = 0.f;
  for (int row = threadIdx.x; row < s.batch; row += THREADS) {
    loss += __ldcg(s.run.losses + row);
    score += __ldcg(s.run.scores + row * WARP);
  }
  loss = sum_of_block(loss, s.scratch);
  score = sum_of_block(score, s.scratch);
  if (threadIdx.x == 0) *s.run.loss_sum = __ldcg(s.run.loss_sum) + loss;
  if constexpr (COUNTS) {
    long long* hits = static_cast<long long*>(s.run.score_sum);
    if (threadIdx.x == 0) *hits = __ldcg(hits) + static_cast<long long>(score);
  } else if (threadIdx.x < OUTS) {
    float sum = 0.f;
    for (int row = 0; row < s.batch; row++) {
      sum += __ldcg(s.run.scores + row * WARP + threadIdx.x);
    }
    float* errors = static_cast<float*>(s.run.score_sum) + threadIdx.x;
    *errors = __ldcg(errors) + sum;
  }
}

// Share out so many turns among the blocks: the first to the block after the last one
// that had a turn since `used` was 0.
template <class Work>
__device__ inline void share(int turns, int& used, Work work) {
  const int blocks = gridDim.x;
  for (int i = (blockIdx.x + blocks - used) % blocks; i < turns; i += blocks) work(i);
  used = (used + turns) % blocks;
}

// Turns for a layer's outputs, or the slopes with respect to them.
template <int L>
__device__ inline int forward_turns(const Step& s) {
  const int rows = rows_of_group(L) == 2 ? s.deep : s.tiles;
  return turns(rows * (WIDTH[L] / TILE), split_of(forward_tiles(L)));
}

template <int L>
__device__ void forward_layers(Step& s, unsigned& reached) {
  if constexpr (L < LAST) {
    int used = 0;
    share(forward_turns<L>(s), used,
          [&](int turn) { forward_tile<L>(s, turn); });
    grid_barrier(s.run.counter, reached);
    if constexpr (NORMALIZED) {
      share(WIDTH[L] / EIGHT, used, [&](int turn) { normalize<L>(s, turn); });
      grid_barrier(s.run.counter, reached);
    }
    forward_layers<L + 1>(s, reached);
  }
}

template <int L>
__device__ inline void update(Step& s, int& used) {
  share(turns(update_tiles(L), split_of(update_tiles(L))), used,
        [&](int turn) { update_tile<L>(s, turn); });
  if constexpr (!normalized(L)) {
    share(WIDTH[L] / EIGHT, used, [&](int turn) { update_biases<L>(s, turn); });
  }
}

// The slope before layer L beside the update of the layer after it; with the first
// layer, its own update, the next batch's images and the sums.
template <int L>
__device__ void backward_layers(Step& s, unsigned& reached, long long step) {
  int used = 0;
  if constexpr (normalized(L)) {
    share(WIDTH[L] / EIGHT, used, [&](int turn) { normalize_backward<L>(s, turn); });
    grid_barrier(s.run.counter, reached);
  }
  if constexpr (L > 0) {
    share(forward_turns<L - 1>(s), used,
          [&](int turn) { backward_tile<L>(s, turn); });
  } else {
    update<0>(s, used);
    share(step + 1 < s.run.count ? IMAGE_ITEMS : 0, used,
          [&](int turn) { set_images(s, turn, step + 1, 1 - s.turn); });
    share(1, used, [&](int) { add_losses(s); });
  }
  update<L + 1>(s, used);
  grid_barrier(s.run.counter, reached);
  if constexpr (L > 0) backward_layers<L - 1>(s, reached, step);
}

// Take the step with gradients that were kept until their norm was known.
template <int L>
__device__ void descend_clipped(const Step& s, float shorter) {
  if constexpr (L < LAYERS) {
    const int first = blockIdx.x * THREADS + threadIdx.x;
    for (int i = first * 4; i < LENGTH[L]; i += gridDim.x * THREADS * 4) {
      Gradient gradient = {load(s.run.gradients + WEIGHT_AT[L] + i),
                           i < BIAS_AT[L] - WEIGHT_AT[L]};
      for (int k = 0; k < 4; k++) gradient.slope.v[k] *= shorter;
      Parameters own(s.run, WEIGHT_AT[L] + i);
      if (HAS_FIRST) own.first = load(s.run.first + own.at);
      if (HAS_SECOND) own.second = load(s.run.second + own.at);
      descend(s.run, *s.hyper, own, gradient);
    }
    descend_clipped<L + 1>(s, shorter);
  }
}

__device__ inline float clipping(const Step& s) {
  float square = 0.f;
  for (int i = threadIdx.x; i < SQUARES; i += THREADS) square += __ldcg(s.run.squares + i);
  const float norm = sqrtf(sum_of_block(square, s.scratch));
  return s.hyper->clip_norm / fmaxf(norm, s.hyper->clip_norm);
}

template <int L>
__device__ void bound_layers(Step& s) {
  if constexpr (L < LAYERS) {
    const int items = (COLUMNS[L] + EIGHT - 1) / EIGHT;
    for (int i = blockIdx.x; i < items; i += gridDim.x) bound_norms<L>(s, i);
    bound_layers<L + 1>(s);
  }
}

__device__ void end_step(Step& s, unsigned& reached) {
  if constexpr (CLIPPED) {
    descend_clipped<0>(s, clipping(s));
    grid_barrier(s.run.counter, reached);
  }
  if constexpr (BOUNDED) {
    bound_layers<0>(s);
    grid_barrier(s.run.counter, reached);
    if constexpr (AVERAGED) {
      const int first = (blockIdx.x * THREADS + threadIdx.x) * 4;
      for (int i = first; i < SIZE; i += gridDim.x * THREADS * 4) {
        average(s.run, *s.hyper, i, load(s.run.parameters + i));
      }  // which nothing reads, nor changes a parameter, before the next barrier
    }
  }
}

// hypers: one for each step, or for all
extern "C" __global__ void __launch_bounds__(THREADS, 1)
    train(const __grid_constant__ Run run, const Hyper* hypers, int each_step) {
  if (run.count == 0) return;  // it was compiled
  Step s = {run};
  s.parts = SHARED_MEMORY;
  s.head = s.parts + 2 * PARTS * 4;
  s.scratch = s.head + HEAD;  // a number for each thread, and two rows for each warp
  s.images = reinterpret_cast<int*>(s.scratch + THREADS + 2 * WARPS * WARP);
  s.part_turn = 0;
  unsigned reached = 0;
  s.hyper = hypers;
  s.turn = 0;
  take_order(s, 0, 0);
  __syncthreads();
  for (int i = blockIdx.x; i < IMAGE_ITEMS; i += gridDim.x) set_images(s, i, 0, 0);
  if (IMAGE_ITEMS > 0) grid_barrier(s.run.counter, reached);
  for (long long step = 0; step < s.run.count; step++) {
    s.hyper = hypers + (each_step ? step : 0);
    s.number = static_cast<unsigned>(s.run.begin + step);
    s.turn = step % 2;
    s.batch = batch_of(s.run, step);
    s.deep = (s.batch + DEEP - 1) / DEEP;
    s.tiles = (s.batch + TILE - 1) / TILE;
    if (step + 1 < s.run.count) take_order(s, step + 1, 1 - s.turn);
    take_head(s);
    forward_layers<0>(s, reached);
    head(s);
    grid_barrier(s.run.counter, reached);
    backward_layers<LAST - 1>(s, reached, step);
    end_step(s, reached);
  }
}
