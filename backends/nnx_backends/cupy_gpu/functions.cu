// Activations and losses, as in `nnx.maths.activations` and `nnx.maths.losses`.

__device__ inline float sigmoid(float z) {
  return expf(fminf(z, 0.f)) / (1.f + expf(-fabsf(z)));
}

constexpr float GELU_SCALE = 0.7978845608028654f, GELU_CUBIC = 0.044715f;

__device__ inline float gelu_tanh(float z) {
  return tanhf(GELU_SCALE * (z + GELU_CUBIC * z * z * z));
}

template <int KIND>
__device__ inline float activate(float z) {
  if constexpr (KIND == RELU) return z < 0.f ? 0.f : z;  // NaN stays NaN
  if constexpr (KIND == LEAKY_RELU) return z < 0.f ? 0.01f * z : z;
  if constexpr (KIND == ELU) return z < 0.f ? expm1f(z) : z;
  if constexpr (KIND == TANH) return tanhf(z);
  if constexpr (KIND == SIGMOID) return sigmoid(z);
  if constexpr (KIND == SOFTPLUS) return fmaxf(z, 0.f) + log1pf(expf(-fabsf(z)));
  if constexpr (KIND == SILU) return z * sigmoid(z);
  if constexpr (KIND == GELU) return 0.5f * z * (1.f + gelu_tanh(z));
  return z;
}

// The slope dy/dz, from z if FROM_Z[KIND], and else from y.
template <int KIND>
__device__ inline float slope(float seen) {
  if constexpr (KIND == RELU) return seen > 0.f ? 1.f : 0.f;
  if constexpr (KIND == LEAKY_RELU) return seen > 0.f ? 1.f : 0.01f;
  if constexpr (KIND == ELU) return fminf(seen, 0.f) + 1.f;
  if constexpr (KIND == TANH) return 1.f - seen * seen;
  if constexpr (KIND == SIGMOID) return seen * (1.f - seen);
  if constexpr (KIND == SOFTPLUS) return -expm1f(-seen);
  if constexpr (KIND == SILU) {
    const float s = sigmoid(seen);
    return s * (1.f + seen * (1.f - s));
  }
  if constexpr (KIND == GELU) {
    const float t = gelu_tanh(seen);
    const float inner = GELU_SCALE * (1.f + 3.f * GELU_CUBIC * seen * seen);
    return 0.5f * (1.f + t) + 0.5f * seen * (1.f - t * t) * inner;
  }
  return 1.f;
}

// The outputs that a lane has in a row: every 32nd, from its own number on.
constexpr int OUTS = OUTPUTS[LAYERS - 1], EACH = (OUTS + WARP - 1) / WARP;

__device__ inline int output(int i) { return i * WARP + lane(); }

// A row's loss, and for each of a lane's outputs the loss's slope with respect to the logit,
// and the score: whether the row is right (COUNTS), or the output's squared error.
struct Loss {
  float loss;
  float slope[EACH], score[EACH];
};

// Cross-entropy; each output is a class.
__device__ inline Loss cross_entropy(const float (&logit)[EACH], int label,
                                     const float (&class_weight)[EACH], float smoothing) {
  float top = -3.4e38f;
#pragma unroll
  for (int i = 0; i < EACH; i++) {
    if (output(i) < OUTS) top = fmaxf(top, logit[i]);
  }
  top = max_of_warp(top);
  float power[EACH], target[EACH], norm = 0.f, whole = 0.f, fit = 0.f;
  float first = -OUTS;  // the prediction: the first class with the largest logit
#pragma unroll
  for (int i = 0; i < EACH; i++) {
    const bool is_class = output(i) < OUTS;
    power[i] = is_class ? expf(logit[i] - top) : 0.f;
    target[i] = output(i) == label ? 1.f : 0.f;
    if (SMOOTHED) target[i] = (1.f - smoothing) * target[i] + smoothing / OUTS;
    if (!is_class) target[i] = 0.f;
    if (CLASS_WEIGHTED) target[i] *= class_weight[i];
    norm += power[i];
    whole += target[i];
    fit += is_class ? target[i] * (logit[i] - top) : 0.f;
    if (is_class && logit[i] == top) first = fmaxf(first, -output(i));
  }
  norm = sum_of_warp(norm);
  whole = CLASS_WEIGHTED ? sum_of_warp(whole) : 1.f;
  fit = sum_of_warp(fit);
  const float right = -max_of_warp(first) == label ? 1.f : 0.f;
  Loss own = {whole * logf(norm) - fit, {}, {}};
#pragma unroll
  for (int i = 0; i < EACH; i++) {
    own.slope[i] = whole * (power[i] / norm) - target[i];
    own.score[i] = right;
  }
  return own;
}

// One output's part of another loss.
struct Part {
  float loss, slope, score;
};

template <int KIND>
__device__ inline Part part_of(float logit, float target, float delta) {
  const float residual = logit - target, size = fabsf(residual), square = residual * residual;
  if constexpr (KIND == SQUARED_ERROR) return {0.5f * square, residual, square};
  if constexpr (KIND == HUBER) {
    return {size > delta ? delta * (size - 0.5f * delta) : 0.5f * square,
            size > delta ? copysignf(delta, residual) : residual, square};
  }
  if constexpr (KIND == BINARY_CROSS_ENTROPY) {
    const float small = expf(-fabsf(logit));
    const float chance = logit >= 0.f ? 1.f / (1.f + small) : small / (1.f + small);
    return {fmaxf(logit, 0.f) - target * logit + log1pf(small), chance - target,
            (logit > 0.f) == (target > 0.5f) ? 0.f : 1.f};
  }
  if constexpr (KIND == POISSON) {
    const float rate = expf(logit), off = rate - target;
    const float least = target > 0.f ? target * logf(target) - target : 0.f;
    return {rate - target * logit + least, off, off * off};
  }
  return {};
}

// The other losses, which are sums over the outputs.
template <int KIND>
__device__ inline Loss of_outputs(const float (&logit)[EACH], const float (&target)[EACH],
                                  float delta) {
  Loss own = {};
#pragma unroll
  for (int i = 0; i < EACH; i++) {
    if (output(i) >= OUTS) continue;
    const Part part = part_of<KIND>(logit[i], target[i], delta);
    own.loss += part.loss;
    own.slope[i] = part.slope;
    own.score[i] = part.score;
  }
  own.loss = sum_of_warp(own.loss);
  if constexpr (KIND == BINARY_CROSS_ENTROPY) {  // a row is right if all its outputs are
    float wrong = 0.f;
#pragma unroll
    for (int i = 0; i < EACH; i++) wrong += own.score[i];
    const float right = sum_of_warp(wrong) == 0.f ? 1.f : 0.f;
#pragma unroll
    for (int i = 0; i < EACH; i++) own.score[i] = right;
  }
  return own;
}
