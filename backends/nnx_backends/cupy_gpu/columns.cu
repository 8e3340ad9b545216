// Work on eight columns at a time: sums over a batch's images, batch normalization, the
// parameters that units have, and bounds on the norms of their weights.

// A thread has one of the eight columns, and every STRIDE-th row of it.
constexpr int STRIDE = THREADS / EIGHT;

// The sum of x over the threads of the same column.
__device__ inline float sum_of_column(float x) {
  __syncthreads();
  scratch()[threadIdx.x] = x;
  __syncthreads();
  float sum = 0.f;
  for (int i = 0; i < STRIDE; i++) sum += scratch()[i * EIGHT + threadIdx.x % EIGHT];
  return sum;
}

// Update the biases (or gammas) of eight units. Each thread passes the gradient of its
// column.
__device__ inline float update_units(const Step& s, int at, float gradient) {
  __syncthreads();
  scratch()[threadIdx.x] = gradient;
  __syncthreads();
  float square = 0.f;
  const int first = anew(threadIdx.x) * 4;
  if (first < EIGHT) {
    Parameters own = parameters_at(s.run, at + first);
    square = use_gradient(s.run, *s.hyper, own, {shared_four(scratch() + first), false});
  }
  return square;
}

constexpr int ROWS_EACH = (BATCH_ROWS + STRIDE - 1) / STRIDE;
constexpr float EPSILON = 1e-5f, MOMENTUM_SHARE = 0.1f;  // of batch normalization

// Batch normalization of eight units, arXiv:1502.03167; see `nnx.maths.batch_norm`. Their
// activation and dropout follow.
template <int L>
__device__ void normalize(const Step& s, int item) {
  const int thread = anew(threadIdx.x);
  const int column = item * EIGHT + thread % EIGHT, first = thread / EIGHT;
  float* z = s.run.normalized + AT[L] + column;
  const int unit = UNIT_AT[L] + column;
  float own[ROWS_EACH], sum = 0.f, square = 0.f;
  for (int i = 0; i < ROWS_EACH; i++) {
    const int row = first + i * STRIDE;
    own[i] = row < s.batch ? __ldcg(z + row * WIDTH[L]) : 0.f;
    sum += own[i];
  }
  const float n = s.batch, running_mean = __ldcg(s.run.means + unit);
  const float running_variance = __ldcg(s.run.variances + unit);
  float mean = sum_of_column(sum) / n, variance = running_variance;
  if (s.batch == 1) mean = running_mean;
  for (int i = 0; i < ROWS_EACH; i++) {
    own[i] -= mean;
    if (first + i * STRIDE < s.batch) square += own[i] * own[i];
  }
  square = sum_of_column(square) / n;
  if (s.batch > 1) variance = square;
  const float scale = 1.f / sqrtf(variance + EPSILON);
  if (first == 0) {
    s.run.scales[unit] = scale;
    if (s.batch > 1) {
      s.run.means[unit] = (1.f - MOMENTUM_SHARE) * running_mean + MOMENTUM_SHARE * mean;
      s.run.variances[unit] = (1.f - MOMENTUM_SHARE) * running_variance +
                              MOMENTUM_SHARE * n / (n - 1.f) * variance;
    }
  }
  const float gamma = __ldcg(s.run.parameters + GAMMA_AT[L] + column);
  const float bias = __ldcg(s.run.parameters + BIAS_AT[L] + column);
  for (int i = 0; i < ROWS_EACH; i++) {
    const int row = first + i * STRIDE, at = AT[L] + row * WIDTH[L] + column;
    if (row >= BATCH_ROWS) continue;
    float out = 0.f, next = 0.f;
    if (row < s.batch && column < OUTPUTS[L]) {
      const float value = own[i] * scale, shifted = gamma * value + bias;
      next = activate<ACTIVATION[L]>(shifted);
      out = FROM_Z[ACTIVATION[L]] ? shifted : next;
      if (DROPOUT > 0) next *= kept(L + 1, row, column, s.number(), s.run.key0, s.run.key1);
      z[row * WIDTH[L]] = value;
    }
    s.run.inputs[at] = next;
    if (OUTPUTS_APART) s.run.outputs[at] = out;
  }
}

// Set the slopes with respect to the products of eight units, and take the step with their
// biases and gammas.
template <int L>
__device__ void normalize_backward(const Step& s, int item) {
  const int thread = anew(threadIdx.x);
  const int column = item * EIGHT + thread % EIGHT, first = thread / EIGHT;
  float dy[ROWS_EACH], value[ROWS_EACH], dbias = 0.f, dgamma = 0.f;
  for (int i = 0; i < ROWS_EACH; i++) {
    const int row = first + i * STRIDE, at = AT[L] + row * WIDTH[L] + column;
    const bool there = row < s.batch && column < OUTPUTS[L];
    dy[i] = there ? __ldcg(s.run.slopes + at) : 0.f;
    value[i] = there ? __ldcg(s.run.normalized + at) : 0.f;
    dbias += dy[i];
    dgamma += dy[i] * value[i];
  }
  dbias = sum_of_column(dbias);
  dgamma = sum_of_column(dgamma);
  const float factor = __ldcg(s.run.parameters + GAMMA_AT[L] + column) *
                       __ldcg(s.run.scales + UNIT_AT[L] + column);
  for (int i = 0; i < ROWS_EACH; i++) {
    const int row = first + i * STRIDE;
    if (row >= s.batch || column >= OUTPUTS[L]) continue;
    float centered = dy[i];
    if (s.batch > 1) centered -= dbias / s.batch + value[i] * (dgamma / s.batch);
    s.run.slopes[AT[L] + row * WIDTH[L] + column] = centered * factor;
  }
  float square = update_units(s, BIAS_AT[L] + item * EIGHT, dbias);
  square += update_units(s, GAMMA_AT[L] + item * EIGHT, dgamma);
  keep_square(s, SQUARES_AT[L] + WEIGHT_TURNS[L] + item, square);
}

// Bound the norms of eight units' weights.
template <int L>
__device__ void bound_norms(const Step& s, int item) {
  const int thread = anew(threadIdx.x);
  const int column = item * EIGHT + thread % EIGHT, first = thread / EIGHT;
  const bool there = column < COLUMNS[L];
  float* weight = s.run.parameters + WEIGHT_AT[L] + column;
  float square = 0.f;
  for (int row = first; there && row < INPUTS[L]; row += STRIDE) {
    const float w = __ldcg(weight + row * COLUMNS[L]);
    square += w * w;
  }
  const float norm = sqrtf(sum_of_column(square));
  const float shorter = s.hyper->max_norm / fmaxf(norm, s.hyper->max_norm);
  for (int row = first; there && row < INPUTS[L]; row += STRIDE) {
    const int at = row * COLUMNS[L];
    weight[at] = __ldcg(weight + at) * shorter;
  }
}
