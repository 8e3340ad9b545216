"""The source of the kernel for a network and a recipe: constants, then the files."""

import math
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from nnx.maths.activations import ACTIVATIONS
from nnx.maths.distortion import gaussian
from nnx.maths.dropout import threshold
from nnx.maths.hyperparameters import PRECISIONS, Distortion, Hyperparameters, Stream
from nnx.maths.losses import LOSSES
from nnx.maths.optimizers import OPTIMIZERS
from nnx_backends.cupy_gpu import tiles
from nnx_backends.cupy_gpu.layout import Place, whole
from nnx_backends.cupy_gpu.plan import KernelKey, Plan
from nnx_backends.cupy_gpu.tiles import DEEP, TILE

FILES = (
    "device", "random", "functions", "factors", "product", "descend",
    "layers", "columns", "rows", "head", "images", "steps",
)  # fmt: skip
ENUMERATIONS = ACTIVATIONS, OPTIMIZERS, LOSSES, PRECISIONS
EIGHT = 8  # columns that batch normalization takes at a time
NUMBERS = [k for k, v in Hyperparameters.__annotations__.items() if v is float]


def source(constants: str) -> str:
    """Return the whole source, for NVRTC."""
    return constants + "".join(_text(name) for name in FILES)


@cache
def _text(name: str) -> str:
    # Comments alone go beyond ASCII. CuPy writes the source in the system's encoding,
    # which on Windows may lack their characters.
    file = files(__package__).joinpath(f"{name}.cu")
    with file.open("r", encoding="ascii", errors="ignore") as content:
        return content.read()


def constants(
    key: KernelKey, precision: str, blocks: int, *, tensor_cores: bool = True
) -> str:
    """Return the constants of a kernel, in CUDA C++.

    precision: of products' factors, one of PRECISIONS
    blocks: their number in the launch
    tensor_cores: whether the card has those for TF32
    """
    places, hyper, plan = key[:3]
    numbers = _shape(places, hyper.batch_size, plan, blocks) | _recipe(hyper)
    numbers |= {"WEIGHTED": key.weighted, "BYTES": key.bytes_as_they_are}
    numbers |= {"PRECISION": PRECISIONS.index(precision), "TENSOR_CORES": tensor_cores}
    numbers |= _patches(places, hyper.batch_size, blocks, plan.block.warps)
    return "".join(
        [
            *(_enumeration(names) for names in ENUMERATIONS),
            f"using Pixel = {key.pixels};\n",
            f"using Number = {'int' if plan.order_shared else 'long long'};\n",
            "struct Hyper {\n",
            *(f"  float {name};\n" for name in NUMBERS),
            "};\n",
            *(_constant(name, value) for name, value in numbers.items()),
        ]
    )


def _shape(
    places: Sequence[Place], batch: int, plan: Plan, blocks: int
) -> dict[str, Any]:
    """Return the numbers of a network, its batches and the launch."""
    last = places[-1]
    per_layer = {
        name.upper(): [getattr(place, name) for place in places]
        for name in Place._fields
        if name != "end"
    }
    return per_layer | {
        "LAYERS": len(places),
        "BATCH": batch,
        "BATCH_ROWS": whole(batch, TILE),
        "BLOCKS": blocks,
        "WARPS": plan.block.warps,
        "TILE": TILE,
        "DEEP": DEEP,
        "EIGHT": EIGHT,
        "RING": plan.block.ring,
        "HEAD_BY_TILES": plan.head_by_tiles,
        "ORDER_SHARED": plan.order_shared,
        "TEAM": _team(-(-batch // blocks), last.inputs, plan.block.warps),
        "HEAD": 0 if plan.head_by_tiles else last.inputs * last.columns,
        "LENGTH": [place.end - place.weight_at for place in places],
        "SIZE": last.end,
    }


def _patches(
    places: Sequence[Place], batch: int, blocks: int, warps: int
) -> dict[str, Any]:
    """Return the patches of each product, and the places of its sums of squares."""
    high, deep = whole(batch, TILE) // TILE, whole(batch, DEEP)
    grids = [(high, place.width // TILE) for place in places]
    sizes = [tiles.tile_size(grid, blocks) for grid in grids]
    outputs = [
        tiles.patches([grid], place.rows, blocks, warps, tiles.OUTPUTS)[0]
        if size == tiles.TILE_SIZES[0]
        else (1, 1)
        for place, grid, size in zip(places, grids, sizes, strict=True)
    ]
    grids = [(place.rows // TILE, place.width // TILE) for place in places]
    # The first two layers' weights are updated together, see steps.cu.
    together = [grids[:2], *([grid] for grid in grids[2:])]
    weights = [
        shape
        for phase in together
        for shape in tiles.patches(phase, deep, blocks, warps, tiles.WEIGHTS)
    ]
    turns = [
        tiles.turns(grid, shape) for grid, shape in zip(grids, weights, strict=True)
    ]
    squares = [0]
    for place, patches in zip(places, turns, strict=True):
        squares.append(squares[-1] + patches + place.width // EIGHT)
    return {
        "GROUP_ROWS": [rows for rows, _ in sizes],
        "GROUP_COLUMNS": [columns for _, columns in sizes],
        "OUTPUTS_DOWN": [down for down, _ in outputs],
        "OUTPUTS_ACROSS": [across for _, across in outputs],
        "WEIGHTS_DOWN": [down for down, _ in weights],
        "WEIGHTS_ACROSS": [across for _, across in weights],
        "WEIGHT_TURNS": turns,
        "SQUARES_AT": squares[:-1],
        "SQUARES": squares[-1],
    }


def _recipe(hyper: Hyperparameters) -> dict[str, Any]:
    """Return the constants that say what a recipe uses."""
    from_z = any(ACTIVATIONS[name].from_z for name in hyper.activations)
    return {
        "ACTIVATION": [_index(ACTIVATIONS, name) for name in hyper.activations],
        "FROM_Z": [activation.from_z for activation in ACTIVATIONS.values()],
        "OPTIMIZER": _index(OPTIMIZERS, hyper.optimizer),
        "STATE_ARRAYS": OPTIMIZERS[hyper.optimizer].arrays,
        "LOSS": _index(LOSSES, hyper.loss),
        "OF_CLASSES": LOSSES[hyper.loss].of_classes,
        "COUNTS": LOSSES[hyper.loss].counts,
        "NORMALIZED": hyper.batch_norm,
        "DROPOUT": threshold(hyper.dropout),
        "INPUT_DROPOUT": threshold(hyper.input_dropout),
        "DROPOUT_STREAM": int(Stream.DROPOUT),
        "NOISY": hyper.input_noise > 0.0,
        "NOISE_STREAM": int(Stream.NOISE),
        "OUTPUTS_APART": hyper.dropout > 0.0 or from_z,
        "SMOOTHED": hyper.label_smoothing > 0.0,
        "CLASS_WEIGHTED": bool(hyper.class_weights),
        "PENALIZED": hyper.l1 > 0.0 or hyper.l2 > 0.0,
        "DECAYING": hyper.weight_decay > 0.0,
        "CLIPPED": hyper.clip_norm > 0.0,
        "BOUNDED": hyper.max_norm > 0.0,
        "AVERAGED": hyper.ema_decay > 0.0,
    } | _distortion(hyper)


def _distortion(hyper: Hyperparameters) -> dict[str, Any]:
    """Return the constants of distortion; without it, those for images of one pixel."""
    amounts = hyper.augment or Distortion()
    high, broad = hyper.image_shape if hyper.augment else (1, 1)
    weights = gaussian(max(high, broad), amounts, np.zeros(0), xp=np)[0]
    return {
        "DISTORTED": hyper.augment is not None,
        "DISTORTION_STREAM": int(Stream.DISTORTION),
        "HIGH": high,
        "BROAD": broad,
        "SHIFT": amounts.shift,
        "RADIANS": math.radians(amounts.rotation),
        "SCALING": amounts.scale,
        "SHEAR": amounts.shear,
        "ELASTIC": amounts.elastic,
        "GAUSSIAN": [float(weight) for weight in weights],
    }


def _team(rows: int, inputs: int, warps: int) -> int:
    """Return how many warps share a row of the last layer, a power of two.

    With fewer than one for 512 inputs, these would not fit into registers.

    rows, warps: of a block
    """
    least = 1 << ((inputs - 1) // 512).bit_length()
    sharing = min(max(warps // min(rows, warps), least), warps, -(-inputs // 32))
    return 1 << (sharing.bit_length() - 1)


def _index(names: Any, name: str) -> int:
    return list(names).index(name)


def _enumeration(names: Any) -> str:
    return f"enum {{ {', '.join(name.upper() for name in names)} }};\n"


def _constant(name: str, value: Any) -> str:
    if isinstance(value, list):
        kind, text = _number(value[0])[0], ", ".join(_number(item)[1] for item in value)
        return f"__device__ constexpr {kind} {name}[] = {{{text}}};\n"
    kind, text = _number(value)
    return f"constexpr {kind} {name} = {text};\n"


def _number(value: float) -> tuple[str, str]:
    """Return a number's type in CUDA C++, and the number."""
    if isinstance(value, bool):
        return "bool", str(value).lower()
    return ("int", str(value)) if isinstance(value, int) else ("double", repr(value))
