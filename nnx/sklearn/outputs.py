"""What a fitted network makes of features."""

from collections.abc import Sequence

from nnx.maths import evaluation
from nnx.maths.arrays import Array
from nnx.maths.blocks import BLOCK, blocks
from nnx.maths.ops import Ops
from nnx.maths.state import Layers


def logits_of(layers: Layers, x: Array, activations: Sequence[str], ops: Ops) -> Array:
    """Return the last layer's outputs, (n, outputs); x: (n, features)."""
    n = x.shape[0]
    parts = [
        evaluation.logits(layers, x[rows, :], tuple(activations), 1.0, ops)
        for rows in blocks(n, BLOCK if ops.logits is None else n)
    ]
    return parts[0] if len(parts) == 1 else ops.xp.concat(parts)
