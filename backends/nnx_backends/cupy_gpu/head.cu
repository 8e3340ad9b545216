// The last layer, row by row, if a block's shared memory holds its weights and it has at
// most 32 outputs: its outputs, the loss, and the slope of the layer before it. A row
// belongs to an image, and a team of TEAM warps computes it.

constexpr int TEAMS = WARPS / TEAM;  // of a block, and so its rows at a time
constexpr int BEFORE = LAST > 0 ? LAST - 1 : 0;

// Begin to copy the last layer's weights into shared memory.
__device__ inline void copy_head(const Step& s) {
  const float* weight = s.run.parameters + WEIGHT_AT[LAST];
  for (int i = anew(threadIdx.x) * 4; i < HEAD; i += THREADS * 4) {
    copy_async<16>(shared(last_weights() + i), weight + i);
  }
  close_copies();
}

// The units of the layer before the last that a lane has in a row: every (WARP · TEAM)-th.
constexpr int UNITS = HEAD_BY_TILES ? 1 : (WIDTH[BEFORE] + WARP * TEAM - 1) / (WARP * TEAM);
constexpr int OUTS_IN_FOURS = HEAD_BY_TILES ? 4 : COLUMNS[LAST];
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
    const int h = own_unit(i), at = AT[BEFORE] + row * WIDTH[BEFORE] + h;
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
    for (int o = 0; o < OUTS_IN_FOURS; o += 4) {
      const Four weight = shared_four(last_weights() + h * OUTS_IN_FOURS + o);
      for (int k = 0; k < 4; k++) sums[o + k] += units.next[i] * weight.v[k];
    }
  }
  return sums_of_warp<SUMS>(sums);
}

// The slope with respect to z of the layer before the last, for a row.
__device__ inline void head_backward(const Step& s, int row, const Units& units,
                                     float dlogit) {
  float dz[OUTS_IN_FOURS];  // those beyond the outputs are 0
#pragma unroll
  for (int o = 0; o < OUTS_IN_FOURS; o++) dz[o] = __shfl_sync(0xffffffffu, dlogit, o);
#pragma unroll
  for (int i = 0; i < UNITS; i++) {
    const int h = own_unit(i);
    if (h >= WIDTH[BEFORE]) continue;
    float d = 0.f;
    if (row < s.batch && h < INPUTS[LAST]) {
#pragma unroll
      for (int o = 0; o < OUTS_IN_FOURS; o += 4) {
        const Four weight = shared_four(last_weights() + h * OUTS_IN_FOURS + o);
        for (int k = 0; k < 4; k++) d += dz[o + k] * weight.v[k];
      }
      if (DROPOUT > 0) d *= kept(LAST, row, h, s.number(), s.run.key0, s.run.key1);
      d *= slope<ACTIVATION[BEFORE]>(units.seen[i]);
    }
    s.run.slopes[AT[BEFORE] + row * WIDTH[BEFORE] + h] = d;
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
    float logit[EACH] = {bias};
    if (lane() < OUTS) {
      for (int w = 0; w < TEAM; w++) logit[0] += own[(team * TEAM + w) * WARP + lane()];
    }
    const Loss loss = loss_of(s, row, target, total, logit);
    head_backward(s, row, units, loss.slope[0]);
    if (warp() % TEAM == 0) store_row(s, row, loss);
    turn = 1 - turn;
  }
}
