// The last layer, row by row: its outputs, the loss, and the slope of the layer before
// it. A row belongs to an image, and a team of TEAM warps computes it.

constexpr int TEAMS = WARPS / TEAM;  // of a block, and so its rows at a time
constexpr int OUTS = OUTPUTS[LAST];

// The total weight of the batch.
__device__ inline float total_weight(const Step& s) {
  if constexpr (!WEIGHTED && !CLASS_WEIGHTED) return s.batch;
  float sum = 0.f;
  for (int row = threadIdx.x; row < s.batch; row += THREADS) {
    const long long image = s.own_images()[row];
    float own = WEIGHTED ? s.run.weights[image] : 1.f;
    if constexpr (CLASS_WEIGHTED) {
      own *= s.run.class_weights[static_cast<const long long*>(s.run.labels)[image]];
    }
    sum += own;
  }
  const float total = sum_of_block(sum);
  return total > 0.f ? total : 1.f;
}

// Begin to copy the last layer's weights into shared memory.
__device__ inline void copy_head(const Step& s) {
  const float* weight = s.run.parameters + WEIGHT_AT[LAST];
  for (int i = anew(threadIdx.x) * 4; i < HEAD; i += THREADS * 4) {
    copy_async<16>(shared(last_weights() + i), weight + i);
  }
  close_copies();
}

// The units of the layer before the last that a lane has in a row: every (WARP · TEAM)-th.
constexpr int UNITS = (WIDTH[LAST - 1] + WARP * TEAM - 1) / (WARP * TEAM);
constexpr int SUMS = OUTS <= 16 ? 16 : 32;

__device__ inline int own_unit(int i) {
  const int thread = anew(threadIdx.x);
  return (i * TEAM + thread / WARP % TEAM) * WARP + thread % WARP;
}

// A lane's units of a row, which are read ahead. next: the last layer's inputs; seen: what
// the slopes are computed from, y or z.
struct Units {
  float next[UNITS], seen[UNITS];
};

__device__ inline void take_units(const Step& s, int row, Units& units) {
#pragma unroll
  for (int i = 0; i < UNITS; i++) {
    const int h = own_unit(i), at = AT[LAST - 1] + row * WIDTH[LAST - 1] + h;
    const bool there = row < s.batch && h < INPUTS[LAST];
    units.next[i] = there ? __ldcg(s.run.inputs + at) : 0.f;
    units.seen[i] = units.next[i];
    if (OUTPUTS_APART && there) units.seen[i] = __ldcg(s.run.outputs + at);
  }
}

// A warp's part of a row's products with the last layer's weights. A lane gets the sums
// that sums_of_warp gives it.
__device__ inline float head_sums(const Units& units) {
  float sums[SUMS] = {};
#pragma unroll
  for (int i = 0; i < UNITS; i++) {
    const int h = min(own_unit(i), INPUTS[LAST] - 1);  // units beyond are 0
#pragma unroll
    for (int o = 0; o < COLUMNS[LAST]; o += 4) {
      const Four weight = shared_four(last_weights() + h * COLUMNS[LAST] + o);
      for (int k = 0; k < 4; k++) sums[o + k] += units.next[i] * weight.v[k];
    }
  }
  return sums_of_warp<SUMS>(sums);
}

// The slope with respect to z of the layer before the last, for a row.
__device__ inline void head_backward(const Step& s, int row, const Units& units,
                                     float dlogit) {
  float dz[COLUMNS[LAST]];  // those beyond the outputs are 0
#pragma unroll
  for (int o = 0; o < COLUMNS[LAST]; o++) dz[o] = __shfl_sync(0xffffffffu, dlogit, o);
#pragma unroll
  for (int i = 0; i < UNITS; i++) {
    const int h = own_unit(i);
    if (h >= WIDTH[LAST - 1]) continue;
    float d = 0.f;
    if (row < s.batch && h < INPUTS[LAST]) {
#pragma unroll
      for (int o = 0; o < COLUMNS[LAST]; o += 4) {
        const Four weight = shared_four(last_weights() + h * COLUMNS[LAST] + o);
        for (int k = 0; k < 4; k++) d += dz[o + k] * weight.v[k];
      }
      if (DROPOUT > 0) d *= kept(LAST, row, h, s.number(), s.run.key0, s.run.key1);
      d *= slope<ACTIVATION[LAST - 1]>(units.seen[i]);
    }
    s.run.slopes[AT[LAST - 1] + row * WIDTH[LAST - 1] + h] = d;
  }
}

// A row's target, and its weight.
struct Target {
  int label;
  float own, weight;  // this lane's target, or its class's weight
};

__device__ inline Target target_of(const Step& s, int row) {
  Target target = {0, 1.f, 1.f};
  if (row >= s.batch) return target;
  const long long image = s.own_images()[row];
  const bool there = lane() < OUTS;
  if (WEIGHTED) target.weight = s.run.weights[image];
  if constexpr (LOSS == CROSS_ENTROPY) {
    target.label = static_cast<int>(static_cast<const long long*>(s.run.labels)[image]);
    if (CLASS_WEIGHTED && there) target.own = s.run.class_weights[lane()];
  } else if (there) {
    target.own = static_cast<const float*>(s.run.labels)[image * OUTS + lane()];
  }
  return target;
}

__device__ inline Loss loss_of(const Step& s, const Target& target, float logit) {
  if constexpr (LOSS == CROSS_ENTROPY) {
    return cross_entropy(logit, target.label, target.own, s.hyper->label_smoothing);
  } else {
    return of_outputs<LOSS>(logit, target.own, s.hyper->huber_delta);
  }
}

// The last layer's outputs, the loss, its slope, and the slope of the layer before the
// last. Rows go to the blocks in turn, and then to a block's teams, so that few warps of
// each block compute at once.
__device__ void head(const Step& s) {
  const int rows = s.deep() * DEEP, team = anew(warp()) / TEAM;
  const float total = total_weight(s);
  const float bias =
      lane() < OUTS ? __ldcg(s.run.parameters + BIAS_AT[LAST] + lane()) : 0.f;
  float* sums_at = scratch() + THREADS;  // each warp's, in two alternate places
  int turn = 0;
  wait_copies<0>();
  __syncthreads();  // the last layer's weights have arrived
#pragma unroll 1
  for (int row = blockIdx.x + team * BLOCKS; row < rows; row += BLOCKS * TEAMS) {
    Units units;
    take_units(s, row, units);
    const Target target = target_of(s, row);
    const float sum = head_sums(units);
    float* own = sums_at + turn * WARPS * WARP;
    own[warp() * WARP + lane() * SUMS / WARP] = sum;
    sync_team<TEAM>(team);
    float logit = bias;
    if (lane() < OUTS) {
      for (int w = 0; w < TEAM; w++) logit += own[(team * TEAM + w) * WARP + lane()];
    }
    const Loss loss = loss_of(s, target, logit);
    const float dlogit = row < s.batch ? loss.slope * target.weight / total : 0.f;
    head_backward(s, row, units, dlogit);
    if (warp() % TEAM == 0) {
      s.run.slopes[AT[LAST] + row * WARP + lane()] = dlogit;
      s.run.scores[row * WARP + lane()] = loss.score;
      if (lane() == 0) {
        s.run.losses[row] = loss.loss * target.weight * (s.batch / total);
      }
    }
    turn = 1 - turn;
  }
}
