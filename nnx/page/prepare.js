// Prepares a drawing, which is light on dark, as nnx/data/picture.py and light.py do a
// picture. Most functions are named as there; all round as NumPy, Python, Pillow do.

const MIN_CONTRAST = 16;
const BOX_LEVEL = 255 / 5;
const BOX_TRIM = 0.002;

// Return {pixels: height * width bytes in [0, maximum], blank} for a frame.
// grey: width * height levels of 0 to 255, row by row
function prepare(grey, width, height, frame) {
  const [ground, ink] = levels(grey, width, height);
  const empty = { pixels: new Uint8Array(frame.height * frame.width), blank: true };
  if (ink - ground < MIN_CONTRAST) return empty;
  const pixels = fitted(stretched(grey, ground, ink), width, height, frame);
  const bytes = Uint8Array.from(pixels, (level) => rint(level * frame.maximum));
  return { pixels: bytes, blank: bytes.every((level) => level === 0) };
}

// Return the nearest integer, rounding halves to even.
function rint(number) {
  const below = Math.floor(number);
  const rest = number - below;
  return rest > 0.5 || (rest === 0.5 && below % 2 !== 0) ? below + 1 : below;
}

function histogram(grey) {
  const counts = new Float64Array(256);
  for (let i = 0; i < grey.length; i++) counts[grey[i]] += 1;
  return counts;
}

// Return the level that separates the greys best (Otsu, 1979).
function otsu(counts, size) {
  const below = [];
  const mean = [];
  let share = 0;
  let weighted = 0;
  for (let level = 0; level < 256; level++) {
    share += counts[level] / size;
    weighted += (counts[level] / size) * level;
    below.push(share);
    mean.push(weighted);
  }
  const between = [];
  for (let level = 0; level < 255; level++) {
    const apart = below[level] * (1 - below[level]);
    const gap = weighted * below[level] - mean[level];
    between.push(apart > 1e-12 ? (gap * gap) / apart : 0);
  }
  const least = Math.max(...between) * (1 - 1e-9);
  const best = [...between.keys()].filter((level) => between[level] >= least);
  return best.reduce((sum, level) => sum + level, 0) / best.length;
}

function median(numbers) {
  const sorted = Float64Array.from(numbers).sort();
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

function borderOf(grey, width, height) {
  const border = [...grey.subarray(0, width), ...grey.subarray((height - 1) * width)];
  for (let y = 0; y < height; y++) {
    border.push(grey[y * width], grey[(y + 1) * width - 1]);
  }
  return border;
}

// Return the upper bound of the ground's greys, and the grey of the ink.
function levels(grey, width, height) {
  const border = borderOf(grey, width, height);
  const middle = median(border);
  const ground = middle + 3 * median(border.map((level) => Math.abs(level - middle)));
  const counts = histogram(grey);
  const limit = otsu(counts, grey.length);
  const inked = counts.map((count, level) => (level > limit ? count : 0));
  const total = inked.reduce((sum, count) => sum + count, 0);
  return [ground, total ? percentile75(inked, total) : ground];
}

// Return the 75th percentile of counted levels, interpolated linearly.
function percentile75(counts, total) {
  const place = 0.75 * (total - 1);
  const at = (index) => {
    let seen = 0;
    return counts.findIndex((count) => (seen += count) > index);
  };
  const low = at(Math.floor(place));
  const high = at(Math.min(Math.floor(place) + 1, total - 1));
  return low + (high - low) * (place - Math.floor(place));
}

function stretched(grey, ground, ink) {
  if (ground === 0 && ink === 255) return grey;
  const table = new Uint8Array(256);
  for (let level = 0; level < 256; level++) {
    const wanted = (level - ground) * (255 / (ink - ground));
    table[level] = rint(Math.min(255, Math.max(0, wanted)));
  }
  const wide = new Uint8Array(grey.length);
  for (let i = 0; i < grey.length; i++) wide[i] = table[grey[i]];
  return wide;
}

// Return the drawing scaled into the frame's box and centred by mass, in [0, 1].
function fitted(grey, width, height, frame) {
  const columns = new Float64Array(width);
  const rows = new Float64Array(height);
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      if (grey[i] > BOX_LEVEL) {
        columns[x] += 1;
        rows[y] += 1;
      }
    }
  }
  const [left, right] = span(columns);
  const [top, bottom] = span(rows);
  const scale = frame.box / Math.max(right - left, bottom - top);
  const across = Math.max(1, rint((right - left) * scale));
  const down = Math.max(1, rint((bottom - top) * scale));
  const cropped = new Float32Array((right - left) * (bottom - top));
  for (let y = top, i = 0; y < bottom; y++) {
    for (let x = left; x < right; x++, i++) cropped[i] = grey[y * width + x];
  }
  const small = resized(cropped, right - left, bottom - top, across, down);
  return placed(small.map((v) => Math.min(255, Math.max(0, v))), across, down, frame);
}

function placed(small, across, down, frame) {
  const columns = new Float64Array(across);
  const rows = new Float64Array(down);
  small.forEach((level, i) => {
    columns[i % across] += level;
    rows[Math.floor(i / across)] += level;
  });
  const most = small.reduce((a, b) => Math.max(a, b));
  const left = start(columns, frame.width, frame.box);
  const top = start(rows, frame.height, frame.box);
  const pixels = new Float32Array(frame.height * frame.width);
  small.forEach((level, i) => {
    const y = top + Math.floor(i / across);
    pixels[y * frame.width + left + (i % across)] = level / most;
  });
  return pixels;
}

// Return the first line with ink and the line after the last, ignoring specks.
// counts: the number of inked pixels in each line
function span(counts) {
  const total = counts.reduce((sum, count) => sum + count, 0);
  let seen = 0;
  const share = counts.map((count) => (seen += count) / total);
  return [
    share.findIndex((part) => part > BOX_TRIM),
    share.findIndex((part) => part >= 1 - BOX_TRIM) + 1,
  ];
}

// Return the index of the first line that puts the center of mass in the middle.
function start(mass, room, box) {
  const middle = box < room ? room / 2 : (room - 1) / 2;
  const total = mass.reduce((sum, part) => sum + part, 0);
  const centre = mass.reduce((sum, part, i) => sum + part * i, 0) / total;
  const first = Math.floor(middle - centre + 0.5);
  return Math.min(room - mass.length, Math.max(0, first));
}

// Return levels resized with anti-aliasing: across, then down, with float32 in between.
function resized(levels, width, height, newWidth, newHeight) {
  const across = weightsOf(width, newWidth);
  const half = new Float32Array(newWidth * height);
  for (let y = 0; y < height; y++) {
    across.forEach(({ first, weights }, x) => {
      let sum = 0;
      const from = y * width + first;
      for (let k = 0; k < weights.length; k++) sum += levels[from + k] * weights[k];
      half[y * newWidth + x] = sum;
    });
  }
  const whole = new Float32Array(newWidth * newHeight);
  weightsOf(height, newHeight).forEach(({ first, weights }, y) => {
    for (let x = 0; x < newWidth; x++) {
      let sum = 0;
      for (let k = 0; k < weights.length; k++) {
        sum += half[(first + k) * newWidth + x] * weights[k];
      }
      whole[y * newWidth + x] = sum;
    }
  });
  return whole;
}

// Return, for each new pixel of a line, its first old pixel and the weights from there.
function weightsOf(size, newSize) {
  const scale = size / newSize;
  const stretch = Math.max(1, scale);
  const support = 2 * stretch;
  return Array.from({ length: newSize }, (_, i) => {
    const centre = (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support + 0.5));
    const end = Math.min(size, Math.trunc(centre + support + 0.5));
    const weights = new Float64Array(end - first);
    let sum = 0;
    for (let k = 0; k < weights.length; k++) {
      weights[k] = bicubic((k + first - centre + 0.5) * (1 / stretch));
      sum += weights[k];
    }
    return { first, weights: weights.map((weight) => weight / sum) };
  });
}

// Return Keys' cubic convolution with a = -1/2.
function bicubic(x) {
  const far = Math.abs(x);
  if (far < 1) return (1.5 * far - 2.5) * far * far + 1;
  return far < 2 ? (((far - 5) * far + 8) * far - 4) * -0.5 : 0;
}
