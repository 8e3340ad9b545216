// A step of the optimizer with four neighboring parameters, as in `nnx.maths.steps` and
// `nnx.maths.optimizers`.

// A launch's arrays and numbers. `memory.py` allocates the arrays; those of the parameters,
// the optimizer, the average and the gradients are flat and have the same layout.
struct Run {
  const void* pixels;          // (n, inputs) bytes or floats
  const void* labels;          // (n,) int64, or (n, outputs) floats
  const float* weights;        // (n,), of images
  const float* class_weights;  // (outputs,)
  const long long* order;      // the epoch's images in turn
  float *parameters, *first, *second, *ema, *gradients;
  float* images;               // (2, BATCH_ROWS, ROWS[0]), of this batch and the next one
  float *inputs, *outputs;     // the next layer's inputs, and y (or z), at AT[layer]
  float *slopes, *normalized;  // of the loss with respect to z; see columns.cu
  float *scales, *means, *variances;  // one number per unit, at UNIT_AT[layer]
  float* squares;                     // sums of squared gradients, one per work item
  float *losses, *scores;  // (rows,), and (rows, the last layer's width); see Loss
  float* loss_sum;
  void* score_sum;
  unsigned* counter;
  long long begin, count;  // steps that the run took before, and steps to take now
  long long epoch;         // of these steps
  long long at, n;         // place of the first image in the order; the order's length
  long long key0, key1;
};

struct Gradient {
  Four slope;
  bool is_weight;  // only weights decay and are penalized
};

__device__ inline void penalize(Four& slope, const Four& weight, const Hyper& hyper) {
  for (int i = 0; i < 4; i++) {
    const float w = weight.v[i];
    if (PENALIZED) slope.v[i] += hyper.l2 * w;
    if (PENALIZED) slope.v[i] += hyper.l1 * (w > 0.f ? 1.f : w < 0.f ? -1.f : 0.f);
  }
}

__device__ inline float direction(float slope, float& first, float& second,
                                  const Hyper& hyper) {
  if constexpr (OPTIMIZER == MOMENTUM || OPTIMIZER == NESTEROV) {
    first = hyper.momentum * first + slope;
    return OPTIMIZER == MOMENTUM ? first : slope + hyper.momentum * first;
  }
  if constexpr (OPTIMIZER == ADAM) {
    first = hyper.momentum * first + (1.f - hyper.momentum) * slope;
    second = hyper.beta2 * second + (1.f - hyper.beta2) * (slope * slope);
    const float root = sqrtf(hyper.square_correction * second) + hyper.epsilon;
    return hyper.mean_correction * first / root;
  }
  if constexpr (OPTIMIZER == RMSPROP) {  // first: mean square; second: velocity
    first = hyper.beta2 * first + (1.f - hyper.beta2) * (slope * slope);
    second = hyper.momentum * second + slope / (sqrtf(first) + hyper.epsilon);
    return second;
  }
  return slope;
}

__device__ inline void average(const Run& run, const Hyper& hyper, int at,
                               const Four& parameter) {
  Four mean = load(run.ema + at);
  for (int i = 0; i < 4; i++) {
    mean.v[i] = hyper.ema_decay * mean.v[i] + (1.f - hyper.ema_decay) * parameter.v[i];
  }
  store(run.ema + at, mean);
}

constexpr bool HAS_FIRST = STATE_ARRAYS > 0, HAS_SECOND = STATE_ARRAYS > 1;

// Four parameters and their state, which are read before their gradient is known.
struct Parameters {
  int at;
  Four now, first, second;
};

__device__ inline Parameters parameters_at(const Run& run, int at) {
  Parameters own = {at, load(run.parameters + at)};
  if (HAS_FIRST && !CLIPPED) own.first = load(run.first + at);
  if (HAS_SECOND && !CLIPPED) own.second = load(run.second + at);
  return own;
}

// Take the step with a gradient that includes the penalties'.
__device__ inline void descend(const Run& run, const Hyper& hyper, Parameters& own,
                               const Gradient& gradient) {
  for (int i = 0; i < 4; i++) {
    float now = own.now.v[i];
    if (DECAYING && gradient.is_weight) {
      now *= 1.f - hyper.learning_rate * hyper.weight_decay;
    }
    const float way =
        direction(gradient.slope.v[i], own.first.v[i], own.second.v[i], hyper);
    own.now.v[i] = now - hyper.learning_rate * way;
  }
  store(run.parameters + own.at, own.now);
  if (HAS_FIRST) store(run.first + own.at, own.first);
  if (HAS_SECOND) store(run.second + own.at, own.second);
  if (AVERAGED && !BOUNDED) average(run, hyper, own.at, own.now);
}

// Take the step. With clipping, the norm of the gradient must be known first: store the
// gradient instead, and return the sum of its four squares.
__device__ inline float use_gradient(const Run& run, const Hyper& hyper, Parameters& own,
                                     Gradient gradient) {
  if (gradient.is_weight) penalize(gradient.slope, own.now, hyper);
  if constexpr (CLIPPED) {
    store(run.gradients + own.at, gradient.slope);
    float square = 0.f;
    for (int i = 0; i < 4; i++) square += gradient.slope.v[i] * gradient.slope.v[i];
    return square;
  } else {
    descend(run, hyper, own, gradient);
    return 0.f;
  }
}
