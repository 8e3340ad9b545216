"""Whether two trees of arrays are the same to the bit."""

from typing import Any

import numpy as np

from nnx.maths.arrays import named_arrays


def assert_same_bits(one: Any, other: Any) -> None:
    """Demand the same shapes, dtypes and bytes; of trees of arrays on the host."""
    pairs = zip(named_arrays(one, ""), named_arrays(other, ""), strict=True)
    for (name, a), (same, b) in pairs:
        assert name == same
        a, b = np.asarray(a), np.asarray(b)
        np.testing.assert_array_equal(a, b, err_msg=name, strict=True)
        assert a.tobytes() == b.tobytes(), name  # 0.0 is not -0.0
