// A network's forward pass in the browser, as in nnx/maths/network.py.

const sigmoid = (z) => Math.exp(Math.min(z, 0)) / (1 + Math.exp(-Math.abs(z)));
const GELU_SCALE = Math.sqrt(2 / Math.PI);

const ACTIVATIONS = {
  identity: (z) => z,
  relu: (z) => Math.max(z, 0),
  leaky_relu: (z) => Math.max(z, 0.01 * z),
  elu: (z) => Math.max(z, 0) + Math.expm1(Math.min(z, 0)),
  tanh: Math.tanh,
  sigmoid,
  softplus: (z) => Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z))),
  silu: (z) => z * sigmoid(z),
  gelu: (z) => 0.5 * z * (1 + Math.tanh(GELU_SCALE * (z + 0.044715 * z * z * z))),
};

// Return a layer of the page's data with its weight as float32.
// layer: {weight: base64 of float16 (in, out), row by row; scale, bias, activation}
function unpacked({ weight, scale, bias, activation }) {
  const bytes = atob(weight);
  const numbers = new Float32Array(bytes.length / 2);
  for (let i = 0; i < numbers.length; i++) {
    const bits = bytes.charCodeAt(2 * i) | (bytes.charCodeAt(2 * i + 1) << 8);
    numbers[i] = scale * float16(bits);
  }
  return { weight: numbers, bias, activation };
}

// Return the number with these bits in float16; infinity and NaN do not occur.
function float16(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1024 + fraction) * 2 ** (exponent - 25);
}

// Return {probabilities, hidden: the outputs of each hidden layer} of one picture.
function forward(layers, pixels, pixelScale) {
  let x = Float64Array.from(pixels, (pixel) => pixel * pixelScale);
  const outputs = layers.map((layer) => (x = dense(x, layer)));
  return { probabilities: softmax(outputs.pop()), hidden: outputs };
}

function dense(x, { weight, bias, activation }) {
  const z = Float64Array.from(bias);
  const units = z.length;
  for (let i = 0; i < x.length; i++) {
    if (x[i] === 0) continue;
    for (let j = 0, k = i * units; j < units; j++, k++) z[j] += x[i] * weight[k];
  }
  return z.map(ACTIVATIONS[activation]);
}

function softmax(logits) {
  const most = logits.reduce((a, b) => Math.max(a, b));
  const powers = logits.map((logit) => Math.exp(logit - most));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}
