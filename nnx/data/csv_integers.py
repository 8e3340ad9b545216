"""Lines of whole numbers, such as pixels, parsed by NumPy's functions on their bytes.

`numpy.loadtxt` takes over ten times as long.
"""

from collections.abc import Sequence

import numpy as np

from nnx.data.dataset import Array

_DIGITS = 15  # whole numbers with up to so many digits are exact in float64
_ZERO, _LINE_END = ord("0"), ord("\n")


def integers(lines: Sequence[str], width: int, delimiter: str) -> Array | None:
    """Return the numbers of lines, (lines, width) float64.

    None: some are not `width` numbers of up to 15 digits each, without a sign, a
        leading zero, a space or a quote, with delimiters between them
    """
    text = "".join([*lines, "" if lines[-1].endswith("\n") else "\n"])
    if not text.isascii():
        return None
    content = np.frombuffer(text.replace("\r\n", "\n").encode(), np.uint8)
    digits = content - np.uint8(_ZERO)  # another character becomes 10 or more
    ends = np.flatnonzero(digits > 9)
    if len(ends) != len(lines) * width:
        return None
    between = content[ends].reshape(-1, width)
    if (between[:, -1] != _LINE_END).any() or (between[:, :-1] != ord(delimiter)).any():
        return None
    lengths = np.diff(ends, prepend=-1) - 1
    longest = int(lengths.max())
    leading = (lengths > 1) & (digits[ends - lengths] == 0)
    if lengths.min() < 1 or longest > _DIGITS or leading.any():
        return None
    values = digits[ends - 1].astype(np.float64)
    for place in range(1, longest):
        at = np.flatnonzero(lengths > place)
        values[at] += 10.0**place * digits[ends[at] - 1 - place]
    return values.reshape(-1, width)
