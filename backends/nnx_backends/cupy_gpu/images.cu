// A batch's images: which ones they are, and their preparation for the first layer.

// Begin to copy the numbers of a step's images into shared memory: the lower halves, as no
// data set has 2³¹ images.
__device__ inline void copy_order(const Run& run, int step) {
  if constexpr (!ORDER_SHARED) return;
  const long long from = run.at + static_cast<long long>(step) * BATCH;
  for (int i = anew(threadIdx.x); i < BATCH && from + i < run.n; i += THREADS) {
    copy_async<4>(shared(shared_order(step) + i), run.order + from + i);
  }
  close_copies();
}

__device__ inline int batch_of(const Run& run, int step) {
  const long long left = run.n - run.at - static_cast<long long>(step) * BATCH;
  return left < BATCH ? static_cast<int>(left) : BATCH;
}

// Prefetch the next batch's images and labels into the L2 cache, if they leave room for
// the rest there.
__device__ inline void fetch_images(const Step& s) {
  constexpr int LINE = 128, SIZE = INPUTS[0] * sizeof(Pixel), ROOM = 8 << 20;
  if constexpr (SIZE > ROOM / BATCH) return;
  constexpr int LINES = SIZE / LINE + 2;  // of an image, which may begin within a line
  constexpr int LABEL = OF_CLASSES ? 8 : 4 * OUTS;
  const int batch = s.step + 1 < s.run.count ? batch_of(s.run, s.step + 1) : 0;
  const Number* next = images(s.run, s.step + 1);
  const char* pixels = static_cast<const char*>(s.run.pixels);
  const char* labels = static_cast<const char*>(s.run.labels);
  const int first = anew(blockIdx.x) * THREADS + threadIdx.x;
#pragma unroll 1
  for (int i = first; i < batch * (LINES + 1); i += BLOCKS * THREADS) {
    const long long image = next[i % batch];
    const int line = i / batch;
    if (line == LINES) {
      fetch(labels + image * LABEL);
    } else {
      fetch(pixels + image * SIZE + min(line * LINE, SIZE - 1));
    }
  }
}

// A random word as a number in (0, 1), exact.
__device__ inline double uniform(unsigned word) { return (word + 0.5) * 0x1p-32; }

// Add Gaussian noise to four pixels (Box and Muller, 1958), as in `nnx.maths.steps`.
__device__ inline void add_noise(const Run& run, const Hyper& hyper, Four& x, int row,
                                 int four, unsigned step) {
  const Counter counter = {static_cast<unsigned>(four), static_cast<unsigned>(row), step,
                           NOISE_STREAM};
  const Words words = philox(counter, run.key0, run.key1);
  for (int i = 0; i < 4; i += 2) {
    const double radius = sqrt(-2.0 * log(uniform(words.w[i])));
    const double angle = 2.0 * 3.14159265358979323846 * uniform(words.w[i + 1]);
    const float scale = hyper.input_noise * hyper.pixel_range;
    x.v[i] += static_cast<float>(radius * cos(angle)) * scale;
    x.v[i + 1] += static_cast<float>(radius * sin(angle)) * scale;
  }
}

// Scale four pixels of a row of the batch, add noise and dropout, and store them for the
// first layer.
__device__ void set_pixels(const Run& run, const Hyper& hyper, Four x, int row, int column,
                           int step) {
  const unsigned number = static_cast<unsigned>(run.begin + step);
  for (int i = 0; i < 4; i++) x.v[i] *= hyper.pixel_scale;
  if constexpr (NOISY) add_noise(run, hyper, x, row, column / 4, number);
  for (int i = 0; i < 4; i++) {
    if (row >= batch_of(run, step) || column + i >= INPUTS[0]) {
      x.v[i] = 0.f;
    } else if (INPUT_DROPOUT > 0) {
      x.v[i] *= kept(0, row, column + i, number, run.key0, run.key1);
    }
  }
  const long long at = (static_cast<long long>(step % 2) * BATCH_ROWS + row) * ROWS[0];
  store(run.images + at + column, x);
}

__device__ inline float pixel_of(const Run& run, long long image, int pixel) {
  return static_cast<const Pixel*>(run.pixels)[image * INPUTS[0] + pixel];
}

constexpr int IMAGE_FOURS = BATCH_ROWS * (ROWS[0] / 4);

// Gather a part of a batch's images, without distortion.
__device__ inline void gather(const Run& run, const Hyper& hyper, int item, int step) {
  const int four = item * THREADS + anew(threadIdx.x);
  if (four >= IMAGE_FOURS) return;
  const int row = four / (ROWS[0] / 4), column = four % (ROWS[0] / 4) * 4;
  Four x = {};
  for (int i = 0; i < 4; i++) {
    if (row >= batch_of(run, step) || column + i >= INPUTS[0]) continue;
    x.v[i] = pixel_of(run, images(run, step)[row], column + i);
  }
  set_pixels(run, hyper, x, row, column, step);
}

// Shared memory for distorting an image. The field has displacements down, and then those
// across, HIGH · BROAD of each.
struct Canvas {
  float *framed, *field, *smoothed, *gaussian, *matrix;
};

constexpr int AREA = HIGH * BROAD, FRAMED = (HIGH + 2) * (BROAD + 2);

__device__ inline Canvas canvas(float* room) {
  float *field = room + FRAMED, *smoothed = field + 2 * AREA;
  float* gaussian = smoothed + 2 * AREA;
  return {room, field, smoothed, gaussian, gaussian + max(HIGH, BROAD)};
}

__device__ inline Words image_words(const Run& run, long long image, int block) {
  const Counter counter = {static_cast<unsigned>(block), static_cast<unsigned>(image),
                           static_cast<unsigned>(run.epoch), DISTORTION_STREAM};
  return philox(counter, run.key0, run.key1);
}

// The affine map from a pixel to its source, without the elastic displacement, as in
// `nnx.maths.distortion.matrices`.
__device__ inline void set_matrix(const Run& run, long long image, float* matrix) {
  double drawn[8];
  for (int block = 0; block < 2; block++) {
    const Words words = image_words(run, image, block);
    for (int i = 0; i < 4; i++) drawn[4 * block + i] = 2.0 * uniform(words.w[i]) - 1.0;
  }
  const double angle = RADIANS * drawn[2], tall = 1.0 + SCALING * drawn[3];
  const double broad = 1.0 + SCALING * drawn[4], cosine = cos(angle), sine = sin(angle);
  matrix[0] = static_cast<float>(tall * cosine);
  matrix[1] = static_cast<float>(-broad * sine);
  matrix[2] = static_cast<float>(SHIFT * drawn[0] + (HIGH - 1) / 2.0);
  matrix[3] = static_cast<float>(tall * sine + SHEAR * drawn[5]);
  matrix[4] = static_cast<float>(broad * cosine);
  matrix[5] = static_cast<float>(SHIFT * drawn[1] + (BROAD - 1) / 2.0);
}

// Read an image into a frame of zeros, and draw its field, one random byte per number.
__device__ inline void begin_canvas(const Run& run, const Canvas& c, long long image) {
  if (threadIdx.x == THREADS - 1) set_matrix(run, image, c.matrix);
  for (int i = threadIdx.x; i < FRAMED; i += THREADS) {
    const int y = i / (BROAD + 2) - 1, x = i % (BROAD + 2) - 1;
    const bool inside = y >= 0 && y < HIGH && x >= 0 && x < BROAD;
    c.framed[i] = inside ? pixel_of(run, image, y * BROAD + x) : 0.f;
  }
  if constexpr (ELASTIC == 0) return;
  for (int i = threadIdx.x; i < max(HIGH, BROAD); i += THREADS) {
    c.gaussian[i] = static_cast<float>(GAUSSIAN[i]);
  }
  for (int block = threadIdx.x; block * 16 < 2 * AREA; block += THREADS) {
    const Words words = image_words(run, image, 2 + block);
    for (int i = 0; i < 16 && block * 16 + i < 2 * AREA; i++) {
      const int byte = words.at(i / 4) >> (i % 4 * 8) & 255u;
      c.field[block * 16 + i] = (byte - 127.5f) / 128.f;
    }
  }
}

// Smooth the rows, or the columns, of both fields; numbers beyond the edge are 0.
template <bool ROWS_OF_IT>
__device__ inline void smooth(const float* from, float* to, const float* gaussian) {
  constexpr int N = ROWS_OF_IT ? BROAD : HIGH, STEP = ROWS_OF_IT ? 1 : BROAD;
  for (int i = threadIdx.x; i < 2 * AREA; i += THREADS) {
    const int place = ROWS_OF_IT ? i % BROAD : i / BROAD % HIGH;
    const float* line = from + i - place * STEP;
    float sum = 0.f;
    for (int k = 0; k < N; k++) sum += line[k * STEP] * gaussian[abs(k - place)];
    to[i] = sum;
  }
}

// The index of the framed pixel at or before a place, and the distance beyond it.
__device__ inline int cell(float place, int n, float& beyond) {
  const float inside = fminf(fmaxf(place + 1.f, 0.f), n + 1.f);
  const float before = fminf(floorf(inside), static_cast<float>(n));
  beyond = inside - before;
  return static_cast<int>(before);
}

__device__ inline float moved_pixel(const Canvas& c, int pixel) {
  const float* m = c.matrix;
  const float y = pixel / BROAD - (HIGH - 1) / 2.f, x = pixel % BROAD - (BROAD - 1) / 2.f;
  float row = m[0] * y + m[1] * x + m[2], column = m[3] * y + m[4] * x + m[5];
  if constexpr (ELASTIC != 0) {
    row += static_cast<float>(ELASTIC) * c.field[pixel];
    column += static_cast<float>(ELASTIC) * c.field[AREA + pixel];
  }
  float down, right;
  const int top = cell(row, HIGH, down), left = cell(column, BROAD, right);
  const float* at = c.framed + top * (BROAD + 2) + left;
  const float above = at[0] + right * (at[1] - at[0]);
  const float* under = at + BROAD + 2;
  const float below = under[0] + right * (under[1] - under[0]);
  return above + down * (below - above);
}

// Distort one of a batch's images (Simard, Steinkraus and Platt, ICDAR 2003), as in
// `nnx.maths.distortion`.
__device__ void distort(const Run& run, const Hyper& hyper, int row, int step) {
  const Canvas c = canvas(ring());
  const bool there = row < batch_of(run, step);
  __syncthreads();  // the ring is free, and the numbers of the batch's images have arrived
  if (there) begin_canvas(run, c, images(run, step)[row]);
  __syncthreads();
  if constexpr (ELASTIC != 0) {
    if (there) smooth<true>(c.field, c.smoothed, c.gaussian);
    __syncthreads();
    if (there) smooth<false>(c.smoothed, c.field, c.gaussian);
    __syncthreads();
  }
  for (int column = threadIdx.x * 4; column < ROWS[0]; column += THREADS * 4) {
    Four x = {};
    for (int i = 0; i < 4; i++) {
      if (there && column + i < INPUTS[0]) x.v[i] = moved_pixel(c, column + i);
    }
    set_pixels(run, hyper, x, row, column, step);
  }
}

// The number of turns in which blocks prepare a batch's images; 0 if bytes are read as they
// are.
constexpr int GATHERED = (IMAGE_FOURS + THREADS - 1) / THREADS;
constexpr int IMAGE_TURNS = BYTES ? 0 : DISTORTED ? BATCH_ROWS : GATHERED;

__device__ inline void set_images(const Run& run, const Hyper& hyper, int item, int step) {
  if constexpr (DISTORTED) {
    distort(run, hyper, item, step);
  } else {
    gather(run, hyper, item, step);
  }
}
