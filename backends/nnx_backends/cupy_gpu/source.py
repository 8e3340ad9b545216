"""The source of the kernel of a network and a recipe: constants, then the files."""

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from nnx.maths.activations import ACTIVATIONS
from nnx.maths.dropout import threshold
from nnx.maths.hyperparameters import Hyperparameters, Stream
from nnx.maths.losses import LOSSES
from nnx.maths.optimizers import OPTIMIZERS
from nnx_backends.cupy_gpu.layout import TILE, Place, whole

FILES = (
    "device", "functions", "product", "descend", "layers", "columns", "head", "steps",
)  # fmt: skip
NUMBERS = [k for k, v in Hyperparameters.__annotations__.items() if v is float]
WARPS = 16


def source(constants: str) -> str:
    """Return the whole source, for NVRTC."""
    return constants + "".join(_text(name) for name in FILES)


@cache
def _text(name: str) -> str:
    return files(__package__).joinpath(f"{name}.cu").read_text()


def constants(
    places: Sequence[Place],
    hyper: Hyperparameters,
    *,
    pixels: str,
    bytes_as_they_are: bool,
    weighted: bool,
    blocks: int,
) -> str:
    """Return what is constant in a kernel, in CUDA C++.

    pixels: their type there; bytes_as_they_are: whether images are not gathered first
    blocks: of the launch
    """
    numbers = _shape(places, hyper.batch_size, blocks) | _recipe(hyper)
    numbers |= {"WEIGHTED": weighted, "BYTES": bytes_as_they_are}
    return "".join(
        [
            *(_enumeration(names) for names in (ACTIVATIONS, OPTIMIZERS, LOSSES)),
            f"using Pixel = {pixels};\n",
            "struct Hyper {\n",
            *(f"  float {name};\n" for name in NUMBERS),
            "};\n",
            *(_constant(name, value) for name, value in numbers.items()),
        ]
    )


def _shape(places: Sequence[Place], batch: int, blocks: int) -> dict[str, Any]:
    """Return the numbers of a network, its batches and the launch."""
    last, squares = places[-1], _squares_at(places)
    per_layer = {
        name.upper(): [getattr(place, name) for place in places]
        for name in Place._fields
        if name != "end"
    }
    return per_layer | {
        "LAYERS": len(places),
        "BATCH": batch,
        "BATCH_ROWS": whole(batch, TILE),
        "WARPS": WARPS,
        "BLOCKS": blocks,
        "TEAM": _team(-(-batch // blocks), last.inputs),
        "HEAD": last.inputs * last.columns,
        "LENGTH": [place.end - place.weight_at for place in places],
        "SQUARES_AT": squares[:-1],
        "SQUARES": squares[-1],
        "SIZE": last.end,
    }


def _recipe(hyper: Hyperparameters) -> dict[str, Any]:
    """Return what a recipe uses."""
    from_z = any(ACTIVATIONS[name].from_z for name in hyper.activations)
    return {
        "ACTIVATION": [_index(ACTIVATIONS, name) for name in hyper.activations],
        "OPTIMIZER": _index(OPTIMIZERS, hyper.optimizer),
        "LOSS": _index(LOSSES, hyper.loss),
        "COUNTS": LOSSES[hyper.loss].counts,
        "NORMALIZED": hyper.batch_norm,
        "DROPOUT": threshold(hyper.dropout),
        "INPUT_DROPOUT": threshold(hyper.input_dropout),
        "DROPOUT_STREAM": int(Stream.DROPOUT),
        "OUTPUTS_APART": hyper.dropout > 0.0 or from_z,
        "SMOOTHED": hyper.label_smoothing > 0.0,
        "CLASS_WEIGHTED": bool(hyper.class_weights),
        "PENALIZED": hyper.l1 > 0.0 or hyper.l2 > 0.0,
        "DECAYING": hyper.weight_decay > 0.0,
        "CLIPPED": hyper.clip_norm > 0.0,
        "BOUNDED": hyper.max_norm > 0.0,
        "AVERAGED": hyper.ema_decay > 0.0,
    }


def _team(rows: int, inputs: int) -> int:
    """Return how many warps take a row of the last layer; rows: that a block has."""
    warps = min(WARPS // min(rows, WARPS), -(-inputs // 32))
    return 1 << (warps.bit_length() - 1)


def _index(names: Any, name: str) -> int:
    return list(names).index(name)


def _enumeration(names: Any) -> str:
    return f"enum {{ {', '.join(name.upper() for name in names)} }};\n"


def _constant(name: str, value: Any) -> str:
    if isinstance(value, list):
        return f"constexpr int {name}[] = {{{', '.join(map(str, value))}}};\n"
    kind = "bool" if isinstance(value, bool) else "int"
    return f"constexpr {kind} {name} = {str(value).lower()};\n"


def _squares_at(places: Sequence[Place]) -> list[int]:
    """Return where each layer's sums of squares begin, and their number."""
    starts = [0]
    for place in places:
        tiles = place.rows // TILE * (place.width // TILE)
        starts.append(starts[-1] + tiles + place.width // 8)
    return starts
