"""How much a file of data may hold, and a compressed one unpack to."""

from pathlib import Path

from nnx.errors import InputError

# Deflate's best ratio: https://www.zlib.net/zlib_tech.html, "Maximum Compression
# Factor". A header that claims more cannot be telling the truth.
MAX_EXPANSION = 1032

# Unpacked data must fit in memory; MNIST takes a hundredth of this.
MAX_UNPACKED = 4 << 30

MAX_COLUMNS = 100_000


def refuse_larger(path: Path, size: int, how: str = "as numbers") -> None:
    """Refuse a table of more than `MAX_UNPACKED` bytes, counted as `how` says."""
    if size > MAX_UNPACKED:
        raise InputError(
            f"{path}: over {MAX_UNPACKED >> 30} GiB {how}, the most that is read; nnx "
            "data convert makes an .npy of it, which need not fit in memory"
        )
