"""Model files: safetensors, with everything but the arrays as JSON in the metadata.

Loading executes nothing from the file: names are looked up in closed lists, and
shapes are compared with the sizes before a network is made from them.
"""

import json
import zlib
from collections.abc import Iterator
from itertools import pairwise
from math import inf, isfinite
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nnx import files
from nnx.data.dataset import Array, Column, Frame, Target, checked_frame
from nnx.errors import InputError, in_few_words
from nnx.likeness import Likeness
from nnx.likeness import shapes as likeness_shapes
from nnx.maths.activations import ACTIVATIONS
from nnx.maths.arrays import named_arrays
from nnx.maths.state import Layer, Layers
from nnx.settings.table import DTYPES, PIXELS, TASKS
from nnx.tensors import check_finite, check_tensor, read

# Format 2 added these attributes; in format 1 they have these values, and a network
# with these values is still written in format 1.
FORMAT = 2
SINCE_2: dict[str, Any] = {"task": TASKS[0], "columns": (), "targets": ()}
KEY = "nnx"
IN_MEMORY = Path("the network")
# Exceptions that a description may cause if it was edited or is not nnx's.
NO_DESCRIPTION = (
    ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError,
)  # fmt: skip
MODEL_NAME = "model.safetensors"
CHECKPOINT_NAME = "checkpoint.safetensors"


class Stored(NamedTuple):
    """The content of a file: a network, and what a checkpoint adds to it.

    network: the attributes of a `nnx.network.Network`
    arrays: additional arrays, by name
    extra: additional JSON values, by name
    """

    network: dict[str, Any]
    arrays: dict[str, Array]
    extra: dict[str, Any]


def sizes(layers: Layers) -> tuple[int, ...]:
    """Return the widths of the input and of every layer."""
    return (layers[0].weight.shape[0], *(len(bias) for _, bias in layers))


def save(
    path: Path,
    network: dict[str, Any],
    arrays: dict[str, Array] | None = None,
    extra: dict[str, Any] | None = None,
) -> None:
    """Write a network, and what a checkpoint adds to it; equal content, equal bytes.

    network, arrays, extra: as in `Stored`

    Raises:
        InputError: an array is not finite; an existing file is left unchanged
        WriteError: the file cannot be written
    """
    from safetensors.numpy import save as serialize

    layers = network["layers"]
    own = named_arrays(layers, "layers")
    tensors = {name: np.ascontiguousarray(array) for name, array in own}
    tensors |= dict(named_arrays(network.get("likeness"), "likeness"))
    tensors |= arrays or {}
    check_finite(f"{path}: not written", tensors.items())
    described = describe(network) | (extra or {})
    described["crc32"] = crc32(described, tensors)
    # A single key, because safetensors writes several keys in random order.
    metadata = {KEY: json.dumps(described, sort_keys=True)}
    files.write(path, serialize(tensors, metadata))


def describe(network: dict[str, Any]) -> dict[str, Any]:
    """Return the description of a network, without its arrays, as JSON values."""
    described = {
        name: value
        for name, value in network.items()
        if name not in ("layers", "likeness")
    }
    described["activations"] = described.pop("activation")
    version = (
        FORMAT if any(described[name] != of for name, of in SINCE_2.items()) else 1
    )
    if version == 1:
        described = {k: v for k, v in described.items() if k not in SINCE_2}
    return described | {"format": version, "sizes": sizes(network["layers"])}


def crc32(described: dict[str, Any], tensors: dict[str, Array]) -> int:
    """Return the CRC-32 of a file's description and arrays, to detect flipped bits."""
    crc = zlib.crc32(json.dumps(described, sort_keys=True).encode())
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name])
        crc = zlib.crc32(f"{name} {array.dtype} {array.shape}".encode(), crc)
        crc = zlib.crc32(array.data.cast("B") if array.size else b"", crc)
    return crc


def load(path: Path) -> Stored:
    """Return the content of a model file, a checkpoint, or a run's folder.

    Raises:
        InputError: the file does not exist, is not safetensors, is truncated, damaged,
            or from a newer nnx, or its tensors do not match its description
    """
    if path.is_dir():
        names = [n for n in (MODEL_NAME, CHECKPOINT_NAME) if (path / n).is_file()]
        if not names:
            raise InputError(f"{path}: holds no {MODEL_NAME} and no {CHECKPOINT_NAME}")
        path /= names[0]
    metadata, tensors = read(path)
    try:
        described = json.loads(metadata[KEY])
        if described["format"] > FORMAT:
            raise InputError(
                f"{path}: written by a newer nnx (format {described['format']}; "
                f"this one reads up to {FORMAT}): upgrade nnx"
            )
        damaged = described.pop("crc32") != crc32(described, tensors)
        stored = checked(path, described, tensors)
    except InputError:
        raise
    except NO_DESCRIPTION as error:
        raise InputError(f"{path}: not a model written by nnx ({error!r})") from None
    if damaged:
        raise InputError(f"{path}: damaged: its checksum is wrong; take another copy")
    return stored


def checked(path: Path, described: dict[str, Any], tensors: dict[str, Array]) -> Stored:
    """Return the content of a file after checking tensors against the description.

    Everything that belongs to the network is removed from `described` and `tensors`.

    Raises:
        InputError: as for `load`; a description that is not nnx's may also raise the
            exceptions in `NO_DESCRIPTION`
    """
    layers = []
    for i, (rows, columns) in enumerate(pairwise(described.pop("sizes"))):
        shapes = {"weight": (rows, columns), "bias": (columns,)}
        arrays = {n: tensors.pop(f"layers.{i}.{n}", None) for n in shapes}
        for name, shape in shapes.items():
            check_tensor(path, f"layers.{i}.{name}", arrays[name], shape)
        layers.append(Layer(**arrays))
    network = _fitting(
        path,
        {
            "layers": layers,
            "activation": described.pop("activations"),
            "classes": described.pop("classes"),
            "frame": Frame(*described.pop("frame")),
            "pixels": described.pop("pixels"),
            "task": described.pop("task", TASKS[0]),
            "columns": described.pop("columns", ()),
            "targets": described.pop("targets", ()),
        },
    )
    try:
        checked_frame(network["frame"], sizes(layers)[0])
    except InputError as error:
        raise InputError(f"{path}: its {error}") from None
    network["likeness"] = _likeness(path, tensors, len(network["classes"]))
    left = [name for name in tensors if name.startswith("layers.")]
    if left:
        raise InputError(f"{path}: {left[0]} belongs to no layer it describes")
    del described["format"]
    return Stored(network, tensors, described)


def _likeness(path: Path, tensors: dict[str, Array], classes: int) -> Likeness | None:
    """Return the likeness of the training pictures, or None if the file has none."""
    shapes = likeness_shapes(classes)._asdict()
    if not any(f"likeness.{name}" in tensors for name in shapes):
        return None
    arrays = {name: tensors.pop(f"likeness.{name}", None) for name in shapes}
    for name, shape in shapes.items():
        check_tensor(path, f"likeness.{name}", arrays[name], shape)
    if arrays["spread"].min() <= 0:
        raise InputError(f"{path}: likeness.spread holds values that are not above 0")
    return Likeness(**arrays)


def _column(described: list[Any]) -> Column:
    """Return a column from its description in JSON, a list."""
    name, mean, scale, fill, categories = described
    if not all(isinstance(category, str) for category in categories):
        raise ValueError(f"categories of {name!r} are no texts")
    if not (fill is None or (fill in categories if categories else isfinite(fill))):
        raise ValueError(f"an empty field of {name!r} cannot be {fill!r}")
    # Times 1.0 refuses texts, which `float` reads.
    fill = fill if fill is None or categories else float(fill * 1.0)
    return Column(name, float(mean * 1.0), float(scale * 1.0), fill, tuple(categories))


def _target(described: list[Any]) -> Target:
    name, mean, scale = described
    return Target(name, float(mean * 1.0), float(scale * 1.0))


def _is_scaled(part: Any) -> bool:
    """Return whether a column or target has a name, and valid numbers for scaling."""
    return isinstance(part.name, str) and isfinite(part.mean) and 0 < part.scale < inf


def fitting(network: dict[str, Any]) -> dict[str, Any]:
    """Return a network's attributes after checking that they fit each other.

    Lists become tuples, and NumPy's numbers Python's. Weights may be infinite or NaN.

    Raises:
        InputError: an attribute is invalid, or contradicts another
    """
    likeness = network.get("likeness")
    try:
        attributes = _fitting(IN_MEMORY, network)
        frame = checked_frame(attributes["frame"], sizes(attributes["layers"])[0])
        if len({*attributes["classes"]}) < len(attributes["classes"]):
            raise InputError("two classes of a network have the same name")
        if likeness is not None:
            tensors = dict(named_arrays(Likeness(*likeness), "likeness"))
            _likeness(IN_MEMORY, tensors, len(attributes["classes"]))
    except InputError:
        raise
    except (*NO_DESCRIPTION, RuntimeError) as error:  # RuntimeError: PyTorch's
        said = in_few_words(error)
        raise InputError(f"these are not the attributes of a network: {said}") from None
    return attributes | {"frame": frame}


def _fitting(source: Path, network: dict[str, Any]) -> dict[str, Any]:
    """Return attributes as `fitting` does, without checking frame and likeness."""
    fields = network | {
        "layers": [Layer(*map(np.asarray, layer)) for layer in network["layers"]],
        "activation": _names(network["activation"]),
        "classes": _names(network["classes"]),
        "columns": tuple(map(_column, network["columns"])),
        "targets": tuple(map(_target, network["targets"])),
    }
    kinds = sorted({str(array.dtype) for layer in fields["layers"] for array in layer})
    if len(kinds) > 1 or not {*kinds} <= {*DTYPES}:
        raise InputError(
            f"{source}: its layers are {' and '.join(kinds)}, not {' or '.join(DTYPES)}"
        )
    for name in fields["activation"]:
        if name not in ACTIVATIONS:
            raise InputError(f"{source}: unknown activation {name!r}")
    if wrong := next(_contradictions(fields), None):
        raise InputError(f"{source}: its description contradicts itself: {wrong}")
    return fields


def _names(value: Any) -> tuple[Any, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _contradictions(network: dict[str, Any]) -> Iterator[str]:
    """Yield contradictions; each check relies on those before it to find none."""
    layers, activation, task = (network[n] for n in ("layers", "activation", "task"))
    classes, columns, targets = (network[n] for n in ("classes", "columns", "targets"))
    for i, (weight, bias) in enumerate(layers):
        before = layers[i - 1].bias if i else weight
        shape = (len(before), *bias.shape)
        if weight.shape != shape or len(shape) != 2 or not weight.size:
            yield f"layer {i} has shapes {weight.shape} and {bias.shape}"
    if len(activation) != len(layers) or not layers:
        yield f"layers: {len(layers)}, activations: {len(activation)}"
    if activation[-1] != "identity":
        yield f"its last layer has the activation {activation[-1]}"
    if task not in TASKS:
        yield f"its task is {in_few_words(task)}, not {' or '.join(TASKS)}"
    if (task == "regression") != bool(targets):
        yield f"a {task} with{'' if targets else 'out'} targets"
    features, *_, outputs = sizes(layers)
    if (names := len(targets or classes)) != outputs:
        yield f"outputs: {outputs}, names: {names}"
    if columns and (width := sum(column.width for column in columns)) != features:
        yield f"features: {features}, of its columns: {width}"
    if not all(map(_is_scaled, (*columns, *targets))):
        yield "a column or target without a name, or a scale above 0"
    if (pixels := network["pixels"]) not in PIXELS:
        yield f"its pixels are {in_few_words(pixels)}, not {' or '.join(PIXELS)}"
    if not all(isinstance(name, str) for name in classes):
        yield "its classes are not texts"
