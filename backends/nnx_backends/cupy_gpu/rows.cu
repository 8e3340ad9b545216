// The loss and its slope, row by row. A row belongs to an image, and a warp computes it.

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

// A row's label and weight. own: the targets of this lane's outputs, or their classes'
// weights
struct Target {
  int label;
  float weight, own[EACH];
};

__device__ inline Target target_of(const Step& s, int row) {
  Target target = {0, 1.f, {}};
  if (row >= s.batch) return target;
  const long long image = s.own_images()[row];
  if (WEIGHTED) target.weight = s.run.weights[image];
  if constexpr (OF_CLASSES) {
    target.label = static_cast<int>(static_cast<const long long*>(s.run.labels)[image]);
  }
#pragma unroll
  for (int i = 0; i < EACH; i++) {
    if (output(i) >= OUTS) continue;
    if constexpr (!OF_CLASSES) {
      target.own[i] = static_cast<const float*>(s.run.labels)[image * OUTS + output(i)];
    } else if (CLASS_WEIGHTED) {
      target.own[i] = s.run.class_weights[output(i)];
    }
  }
  return target;
}

// A row's loss. Its slopes are those of the batch's loss, in which the row has this weight
// of the total.
__device__ inline Loss loss_of(const Step& s, int row, const Target& target, float total,
                               const float (&logit)[EACH]) {
  Loss own;
  if constexpr (LOSS == CROSS_ENTROPY) {
    own = cross_entropy(logit, target.label, target.own, s.hyper->label_smoothing);
  } else {
    own = of_outputs<LOSS>(logit, target.own, s.hyper->huber_delta);
  }
  own.loss *= target.weight * (s.batch / total);
#pragma unroll
  for (int i = 0; i < EACH; i++) {
    own.slope[i] = row < s.batch ? own.slope[i] * target.weight / total : 0.f;
  }
  return own;
}

__device__ inline void store_row(const Step& s, int row, const Loss& own) {
#pragma unroll
  for (int i = 0; i < EACH; i++) {
    const int at = row * WIDTH[LAST] + output(i);
    s.run.slopes[AT[LAST] + at] = own.slope[i];
    if (!COUNTS) s.run.scores[at] = own.score[i];
  }
  if (lane() > 0) return;
  s.run.losses[row] = own.loss;
  if (COUNTS) s.run.scores[row * WIDTH[LAST]] = own.score[0];
}

// The losses and slopes of all rows, whose logits have been computed by tiles.
__device__ void rows_of_logits(const Step& s) {
  const int rows = s.deep() * DEEP;
  const float total = total_weight(s);
  wait_copies<0>();  // of the next step's order, which others read after the next barrier
#pragma unroll 1
  for (int row = blockIdx.x + anew(warp()) * BLOCKS; row < rows; row += BLOCKS * WARPS) {
    float logit[EACH];
#pragma unroll
    for (int i = 0; i < EACH; i++) {
      logit[i] = __ldcg(s.run.inputs + AT[LAST] + row * WIDTH[LAST] + output(i));
    }
    store_row(s, row, loss_of(s, row, target_of(s, row), total, logit));
  }
}
