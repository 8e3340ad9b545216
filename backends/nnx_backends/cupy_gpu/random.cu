// Random words, and dropout, whose masks are drawn again wherever they are used.

struct Words {
  unsigned w[4];
  // For an index that is not known at compile time, without an array in local memory.
  __device__ unsigned at(int i) const {
    return i & 2 ? (i & 1 ? w[3] : w[2]) : (i & 1 ? w[1] : w[0]);
  }
};
using Counter = Words;

// Philox-4x32-10 of Salmon, Moraes, Dror and Shaw, SC 2011, as in `nnx.maths.random`.
__device__ inline Words philox(Counter counter, unsigned key0, unsigned key1) {
  unsigned a = counter.w[0], b = counter.w[1], c = counter.w[2], d = counter.w[3];
  key0 = anew(key0), key1 = anew(key1);  // else the keys of all rounds would be kept
  for (int round = 0; round < 10; round++) {
    const unsigned high0 = __umulhi(a, 0xD2511F53u), low0 = a * 0xD2511F53u;
    const unsigned high1 = __umulhi(c, 0xCD9E8D57u), low1 = c * 0xCD9E8D57u;
    a = high1 ^ b ^ key0;
    c = high0 ^ d ^ key1;
    b = low1;
    d = low0;
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return {{a, b, c, d}};
}

// The factor by which dropout multiplies an input of a layer, as in
// `nnx.maths.dropout.mask`: each unit takes half of a word, and 16 neighboring counters, of
// four words each, serve 128 units.
__device__ inline float kept(unsigned layer, int row, int unit, unsigned step,
                             unsigned key0, unsigned key1) {
  const int least = layer == 0 ? INPUT_DROPOUT : DROPOUT;
  const unsigned counter = unit / 128 * 16 + unit % 16, half = unit % 128 / 16;
  const Words words = philox(
      {{counter, static_cast<unsigned>(row), step, DROPOUT_STREAM + (layer << 8u)}},
      key0, key1);
  const unsigned drawn = words.at(half / 2) >> (half % 2 * 16) & 0xffffu;
  return drawn >= least ? 65536.f / (65536 - least) : 0.f;
}
