// Many training steps in one cooperative launch, in which all blocks are resident at once.
//
// The phases of a step, with a grid barrier between any two: the outputs of each hidden
// layer, tile by tile; the last layer, with the loss and the slope of the layer before
// it, row by row; then, from layer to layer, the slope of the layer before, beside the
// update of the layer after. With HEAD_BY_TILES, the last layer's outputs, and the slope
// of the layer before it, are phases by tiles too, and only the loss is computed by rows.

// The layers whose outputs are computed by tiles.
constexpr int TILED = HEAD_BY_TILES ? LAYERS : LAST;

// Add the batch's squared errors of 32 outputs to the epoch's. A lane has an output, and a
// warp every WARPS-th row.
__device__ inline void add_errors(const Step& s, int item) {
  const int out = output(item);
  float sum = 0.f;
  for (int row = anew(warp()); row < s.batch; row += WARPS) {
    sum += __ldcg(s.run.scores + row * WIDTH[LAST] + out);
  }
  __syncthreads();  // the last sums have been read
  scratch()[threadIdx.x] = sum;
  __syncthreads();
  if (warp() > 0 || out >= OUTS) return;
  sum = 0.f;
  for (int w = 0; w < WARPS; w++) sum += scratch()[w * WARP + lane()];
  float* errors = static_cast<float*>(s.run.score_sum) + out;
  *errors = __ldcg(errors) + sum;
}

// Add the batch's losses, and the number of right rows, to the epoch's.
__device__ void add_losses(const Step& s) {
  float loss = 0.f, score = 0.f;
  for (int row = anew(threadIdx.x); row < s.batch; row += THREADS) {
    loss += __ldcg(s.run.losses + row);
    if (COUNTS) score += __ldcg(s.run.scores + row * WIDTH[LAST]);
  }
  loss = sum_of_block(loss);
  if (COUNTS) score = sum_of_block(score);
  if (threadIdx.x == 0) *s.run.loss_sum = __ldcg(s.run.loss_sum) + loss;
  if constexpr (COUNTS) {
    long long* hits = static_cast<long long*>(s.run.score_sum);
    if (threadIdx.x == 0) *hits = __ldcg(hits) + static_cast<long long>(score);
  }
}

// Distribute turns over the blocks in rotation. The first goes to the block after the last
// one that has had a turn since `used` was 0.
template <class Work>
__device__ inline void share(int turns, int& used, Work work) {
#pragma unroll 1
  for (int i = (anew(blockIdx.x) + BLOCKS - used) % BLOCKS; i < turns; i += BLOCKS) work(i);
  used = (used + turns) % BLOCKS;
}

template <int L>
__device__ void forward_layers(const Step& s, unsigned& reached) {
  if constexpr (L < TILED) {
    int used = 0;
    share(turns<Outputs<L>>(high(L), wide(L)), used,
          [&](int turn) { forward_patch<L>(s, turn); });
    grid_barrier(s.run.counter, reached);
    if constexpr (normalized(L)) {
      share(WIDTH[L] / EIGHT, used, [&](int turn) { normalize<L>(s, turn); });
      grid_barrier(s.run.counter, reached);
    }
    forward_layers<L + 1>(s, reached);
  }
}

template <int L>
__device__ inline void update(const Step& s, int& used) {
  share(WEIGHT_TURNS[L], used, [&](int turn) { update_patch<L>(s, turn); });
  if constexpr (!normalized(L)) {
    share(WIDTH[L] / TILE, used, [&](int turn) { update_biases<L>(s, turn); });
  }
}

// The phases of layer L and of those before it: the slope of layer L - 1, beside the update
// of layer L + 1. The first layer has no layer before it: beside the second layer's update,
// its phase has its own update, the next batch's images, and the sums of losses and scores.
template <int L>
__device__ void backward_layers(const Step& s, unsigned& reached) {
  int used = 0;
  if constexpr (normalized(L)) {
    share(WIDTH[L] / EIGHT, used, [&](int turn) { normalize_backward<L>(s, turn); });
    grid_barrier(s.run.counter, reached);
  }
  if constexpr (L > 0) {
    share(turns<Outputs<L - 1>>(high(L - 1), wide(L - 1)), used,
          [&](int turn) { backward_patch<L>(s, turn); });
  } else {
    if constexpr (BYTES) fetch_images(s);
    update<0>(s, used);
    share(s.step + 1 < s.run.count ? IMAGE_TURNS : 0, used, [&](int turn) {
      set_images(s.run, *s.hyper, turn, s.step + 1);
    });
    share(1, used, [&](int) { add_losses(s); });
    share(COUNTS ? 0 : EACH, used, [&](int turn) { add_errors(s, turn); });
  }
  if constexpr (L < LAST) update<L + 1>(s, used);
  grid_barrier(s.run.counter, reached);
  if constexpr (L > 0) backward_layers<L - 1>(s, reached);
}

// Take the step with the gradients that were stored until their norm was known.
template <int L>
__device__ void descend_clipped(const Step& s, float shorter) {
  if constexpr (L < LAYERS) {
    const int first = anew(blockIdx.x) * THREADS + threadIdx.x;
#pragma unroll 1
    for (int i = first * 4; i < LENGTH[L]; i += BLOCKS * THREADS * 4) {
      Gradient gradient = {load(s.run.gradients + WEIGHT_AT[L] + i),
                           i < BIAS_AT[L] - WEIGHT_AT[L]};
      for (int k = 0; k < 4; k++) gradient.slope.v[k] *= shorter;
      Parameters own = parameters_at(s.run, WEIGHT_AT[L] + i);
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
  const float norm = sqrtf(sum_of_block(square));
  return s.hyper->clip_norm / fmaxf(norm, s.hyper->clip_norm);
}

template <int L>
__device__ void bound_layers(const Step& s) {
  if constexpr (L < LAYERS) {
    const int items = (COLUMNS[L] + EIGHT - 1) / EIGHT;
#pragma unroll 1
    for (int i = blockIdx.x; i < items; i += BLOCKS) bound_norms<L>(s, i);
    bound_layers<L + 1>(s);
  }
}

__device__ void end_step(const Step& s, unsigned& reached) {
  if constexpr (CLIPPED) {
    descend_clipped<0>(s, clipping(s));
    grid_barrier(s.run.counter, reached);
  }
  if constexpr (BOUNDED) {
    bound_layers<0>(s);
    grid_barrier(s.run.counter, reached);
    if constexpr (AVERAGED) {
      const int first = (blockIdx.x * THREADS + threadIdx.x) * 4;
#pragma unroll 1
      for (int i = first; i < SIZE; i += BLOCKS * THREADS * 4) {
        average(s.run, *s.hyper, i, load(s.run.parameters + i));
      }  // nothing reads an average or changes a parameter before the next barrier
    }
  }
}

// hypers: one for each step, if each_step, or one for all
extern "C" __global__ void __launch_bounds__(THREADS, 1)
    train(const __grid_constant__ Run run, const Hyper* hypers, int each_step) {
  if (run.count == 0) return;  // launched only to be compiled
  unsigned reached = 0;
  copy_order(run, 0);
  wait_copies<0>();
  __syncthreads();
#pragma unroll 1
  for (int i = blockIdx.x; i < IMAGE_TURNS; i += BLOCKS) set_images(run, *hypers, i, 0);
  if (IMAGE_TURNS > 0) grid_barrier(run.counter, reached);
  for (int step = 0; step < run.count; step++) {
    const Step s = {run, hypers + (each_step ? step : 0), step, batch_of(run, step)};
    if (step + 1 < run.count) copy_order(run, step + 1);
    if constexpr (!HEAD_BY_TILES) copy_head(s);
    forward_layers<0>(s, reached);
    if constexpr (HEAD_BY_TILES) {
      rows_of_logits(s);
    } else {
      head(s);
    }
    grid_barrier(run.counter, reached);
    backward_layers<TILED - 1>(s, reached);
    end_step(s, reached);
  }
}
