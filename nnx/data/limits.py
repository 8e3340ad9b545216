"""How much a compressed file may unpack to."""

# Deflate's best ratio: https://www.zlib.net/zlib_tech.html, "Maximum Compression
# Factor". A header that claims more cannot be telling the truth.
MAX_EXPANSION = 1032

# Unpacked data must fit in memory; MNIST takes a hundredth of this.
MAX_UNPACKED = 4 << 30
# Advice for larger tables.
LARGER = "nnx data convert makes an .npy of it, which need not fit in memory"
