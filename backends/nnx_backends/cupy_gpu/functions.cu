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

// Whether the slope is computed from z, and not from y.
__device__ constexpr bool from_z(int kind) { return kind == SILU || kind == GELU; }

// The slope dy/dz, from y or z.
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

// A row's loss, the loss's slope with respect to this lane's logit, and the score: whether
// the row is right, or this lane's squared error.
struct Loss {
  float loss, slope, score;
};

// Cross-entropy; each lane has the logit of one class.
__device__ inline Loss cross_entropy(float logit, int label, float class_weight,
                                     float smoothing) {
  const bool is_class = lane() < OUTPUTS[LAYERS - 1];
  const float top = max_of_warp(is_class ? logit : -3.4e38f);
  const float power = is_class ? expf(logit - top) : 0.f;
  const float norm = sum_of_warp(power);
  float target = lane() == label ? 1.f : 0.f;
  if (SMOOTHED) target = (1.f - smoothing) * target + smoothing / OUTPUTS[LAYERS - 1];
  float whole = 1.f;
  if (!is_class) target = 0.f;
  if (CLASS_WEIGHTED) {
    target *= class_weight;
    whole = sum_of_warp(target);
  }
  const float fit = sum_of_warp(is_class ? target * (logit - top) : 0.f);
  // The prediction: the first class with the largest logit.
  const float first = max_of_warp(is_class && logit == top ? -lane() : -WARP);
  return {whole * logf(norm) - fit, whole * (power / norm) - target,
          -first == label ? 1.f : 0.f};
}

// The other losses; each lane has the logit and the target of one output.
template <int KIND>
__device__ inline Loss of_outputs(float logit, float target, float delta) {
  float loss = 0.f, down = 0.f, score = 0.f;
  if (lane() < OUTPUTS[LAYERS - 1]) {
    const float residual = logit - target, size = fabsf(residual);
    score = residual * residual;
    if constexpr (KIND == BINARY_CROSS_ENTROPY) {
      const float small = expf(-fabsf(logit));
      loss = fmaxf(logit, 0.f) - target * logit + log1pf(small);
      down = (logit >= 0.f ? 1.f / (1.f + small) : small / (1.f + small)) - target;
      score = (logit > 0.f) == (target > 0.5f) ? 0.f : 1.f;
    }
    if constexpr (KIND == SQUARED_ERROR) {
      loss = 0.5f * score;
      down = residual;
    }
    if constexpr (KIND == HUBER) {
      loss = size > delta ? delta * (size - 0.5f * delta) : 0.5f * score;
      down = size > delta ? copysignf(delta, residual) : residual;
    }
    if constexpr (KIND == POISSON) {
      const float rate = expf(logit);
      const float own = target > 0.f ? target * logf(target) - target : 0.f;
      loss = rate - target * logit + own;
      down = rate - target;
      score = (rate - target) * (rate - target);
    }
  }
  if (KIND == BINARY_CROSS_ENTROPY) score = sum_of_warp(score) == 0.f ? 1.f : 0.f;
  return {sum_of_warp(loss), down, score};
}
