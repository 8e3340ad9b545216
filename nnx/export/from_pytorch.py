"""Making a network from PyTorch's weights."""

import json
import os
import pickletools
import re
import warnings
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from nnx import files, memory, model_file
from nnx.data.dataset import Array, Dataset
from nnx.errors import InputError, in_few_words
from nnx.export import state_dict
from nnx.export.foreign import made, of_module
from nnx.maths.state import Layer, Layers
from nnx.network import Network
from nnx.tensors import check_tensor, read

IN_MEMORY = Path("state_dict")
# Usual names of the weights in files that also hold other things.
INSIDE = "state_dict", "model_state_dict", "model"
# The tensors of a BatchNorm layer, besides weight and bias.
OF_BATCH_NORM = "running_mean", "running_var", "num_batches_tracked"
# Limits on the pickle that lists the tensors: its bytes, and the characters of a name.
# To refuse an unknown name, PyTorch needs time quadratic in its length.
MOST_SAID, LONGEST_NAME = 1 << 20, 2000


def from_pytorch(
    weights: Any,
    activation: str | Sequence[str] | None = None,
    *,
    data: Dataset | None = None,
    pixels: str = "unit",
    normalize: tuple[float, float] | None = None,
    layers: Sequence[str] = (),
) -> Network:
    """Return a network with PyTorch's weights.

    weights: a safetensors file; a file of `torch.save`, which needs PyTorch and is read
        without running code; a module; or a `state_dict` with "NAME.weight" (out, in)
        and optionally "NAME.bias" (out,) for each linear layer
    activation: as for `nnx.Network`; None if a Sequential or nnx's own file states it
    data: gives classes, frame and columns; None: classes "0", "1", …, pixels to 255
    pixels: the pixels in training: "unit", in [0, 1], or "raw", as in the data
    normalize: mean and deviation that normalized pixels in [0, 1]; folded into layer 1
    layers: the layers' names in order, if the numbers in them do not give the order

    Raises:
        InputError: the file is damaged or of another kind, a tensor is not a linear
            layer's, activation is missing, or layers do not fit each other or the data
    """
    is_list = isinstance(layers, list | tuple)
    if not is_list or not all(isinstance(name, str) for name in layers):
        raise InputError(
            f"layers must be the layers' names in order, not {in_few_words(layers)}"
        )
    if hasattr(weights, "state_dict") and not isinstance(weights, type):
        weights, activation = of_module(weights, activation)
    if isinstance(weights, Mapping):
        source, said, tensors = IN_MEMORY, None, _arrays(IN_MEMORY, weights)
    elif isinstance(weights, str | PathLike):
        source = files.given(weights, "PyTorch's weights")
        said, tensors = _read(source)
    else:
        few = in_few_words(weights)
        raise InputError(f"weights must be a file, a module or a state_dict, not {few}")
    if said is not None:
        if (activation, data, pixels, normalize, *layers) != (None, None, "unit", None):
            raise InputError(f"{source}: describes itself: give it without options")
        return _own(source, said, tensors)
    if set(tensors) <= {"weight", "bias"}:  # of a single torch.nn.Linear
        tensors = {f"linear.{name}": array for name, array in tensors.items()}
    names = _order(source, tensors, layers)
    own = _layers(source, tensors, names)
    return made(source, own, activation, data, pixels, normalize)


def _own(source: Path, said: str, tensors: dict[str, Array]) -> Network:
    """Return the network in a file written by nnx."""
    try:
        about = json.loads(said)
        if about.pop("crc32") != model_file.crc32(about, tensors):
            raise InputError(
                f"{source}: damaged, or changed since nnx wrote it: its checksum is "
                "wrong; take another copy, or save it without metadata"
            )
        arrays = state_dict.arrays_of(tensors)
        stored = model_file.checked(source, about, arrays)
    except InputError:
        raise
    except model_file.NO_DESCRIPTION as error:
        raise InputError(f"{source}: not written by nnx ({error!r})") from None
    return Network.of(**stored.network)


def _order(source: Path, tensors: dict[str, Array], layers: Sequence[str]) -> list[str]:
    """Return the layers' names in the order of application."""
    names = set[str]()
    for key in tensors:
        name, dot, what = key.rpartition(".")
        if what in OF_BATCH_NORM:
            raise InputError(
                f"{source}: {name[:80]} is a BatchNorm, not a linear layer: fold it "
                "into the linear layer before it "
                "(torch.nn.utils.fusion.fuse_linear_bn_eval), and save that"
            )
        if not dot or what not in ("weight", "bias"):
            raise InputError(
                f"{source}: {key[:80]} is not a weight NAME.weight or bias NAME.bias; "
                "nnx takes only stacks of linear layers"
            )
        names.add(name)
    if not names:
        raise InputError(f"{source}: holds no weights")
    if layers:
        if sorted(layers) != sorted(names):
            raise InputError(
                f"{source}: its layers are {_few(sorted(names))}, not {_few(layers)}"
            )
        return list(layers)
    if len({re.sub(r"\d+", "0", name) for name in names}) > 1:
        raise InputError(
            f"{source}: has layers {_few(sorted(names))}, and no numbers that tell "
            "their order: give their names as layers, in the order of their use"
        )
    return sorted(names, key=_numbers)


def _numbers(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts names by the numbers in them, which may be long."""
    digits = [number.lstrip("0") for number in re.findall(r"\d+", name)]
    return [(len(number), number) for number in digits]


def _few(names: Sequence[str]) -> str:
    shown = ",".join(name[:40] for name in names[:8])
    return shown + (",…" if len(names) > 8 else "")


def _layers(source: Path, tensors: dict[str, Array], names: list[str]) -> Layers:
    built = list[Layer]()
    for name in names:
        layer = _layer(source, tensors, name)
        width, before = len(layer.weight), len(built[-1].bias) if built else None
        if before not in (None, width):
            raise InputError(
                f"{source}: {name[:80]} takes {width} numbers, the layer before it "
                f"gives {before}; if another comes before it, give layers in order"
            )
        built.append(layer)
    kinds = sorted({array.dtype.name for layer in built for array in layer})
    if len(kinds) > 1:
        raise InputError(f"{source}: its layers are {' and '.join(kinds)}")
    return built


def _layer(source: Path, tensors: dict[str, Array], name: str) -> Layer:
    weight = tensors.get(f"{name}.weight")
    if weight is None or weight.ndim != 2 or 0 in weight.shape:
        has = "no weight" if weight is None else f"a weight of shape {weight.shape}"
        raise InputError(
            f"{source}: {name[:80]} has {has}: a linear layer's is (out, in)"
        )
    bias = tensors.get(f"{name}.bias", np.zeros(len(weight), weight.dtype))
    weight, bias = map(_not_half, (weight, bias))
    check_tensor(source, f"{name[:80]}.weight", weight, weight.shape)
    check_tensor(source, f"{name[:80]}.bias", bias, weight.shape[:1])
    return Layer(np.ascontiguousarray(weight.T), np.array(bias))


def _not_half(array: Array) -> Array:
    return array.astype(np.float32) if array.dtype == np.float16 else array


def _read(path: Path) -> tuple[str | None, dict[str, Array]]:
    """Return nnx's description in a file, or None, and the file's tensors."""
    kind = path.suffix.lower()
    if os.path.isdir(path):  # False for names that are too long
        raise InputError(f"{path}: is a folder; give the file of weights that is in it")
    if kind in (".pkl", ".pickle", ".joblib", ".skops"):
        raise InputError(
            f"{path}: is not loaded, as such files may run code; load it in Python, "
            "with skops.io.load for example, and give the estimator to "
            "nnx.from_sklearn"
        )
    if kind == ".onnx":
        raise InputError(f"{path}: nnx writes ONNX, but does not read it")
    if kind in (".pt", ".pth"):
        return None, _no_larger(path, _arrays(path, _loaded_by_torch(path)))
    metadata, tensors = read(path)
    if model_file.KEY in metadata:
        raise InputError(f"{path}: is already a model of nnx")
    return metadata.get(state_dict.KEY), tensors


def _loaded_by_torch(path: Path) -> Mapping[str, Any]:
    """Return the state dict in a file of `torch.save`, without running its code."""
    try:
        import torch
    except ImportError:
        raise InputError(
            f"{path}: can only be read with PyTorch, which is not installed; save the "
            "weights as safetensors instead (safetensors.torch.save_file)"
        ) from None
    with files.readable(path):
        _check_archive(path, path.stat().st_size)
    try:
        with warnings.catch_warnings(action="ignore"):  # of sparse tensors
            loaded = torch.load(path, "cpu", weights_only=True)
    except Exception as error:  # of pickle, torch or the archive, depending on the file
        said = " ".join(str(error).split())
        what = "holds more than weights" if "Weights only" in said else "is unreadable"
        few = said.rpartition("WeightsUnpickler error: ")[2].partition(". ")[0][:120]
        raise InputError(f"{path}: {what}: {few}; save its state_dict alone") from None
    for name in INSIDE:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(name), Mapping):
            loaded = loaded[name]
    if not isinstance(loaded, Mapping):
        raise InputError(f"{path}: holds {type(loaded).__name__}, not a state_dict")
    return loaded


def _no_larger(path: Path, arrays: dict[str, Array]) -> dict[str, Array]:
    """Return arrays unchanged; refuse those larger than their file, or than memory."""
    # A tensor may be a view of any size that repeats the stored data. Tied weights are
    # the same view, which counts once.
    views = {array.ctypes.data: array.nbytes for array in arrays.values()}
    total = sum(array.nbytes for array in arrays.values())
    if sum(views.values()) > path.stat().st_size or total > memory.available():
        raise InputError(f"{path}: damaged: its tensors exceed the file or memory")
    return arrays


def _check_archive(path: Path, size: int) -> None:
    """Refuse a file that is not an archive of `torch.save`, or would expand."""
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > size:
                raise InputError(
                    f"{path}: damaged: says that it holds more than it has"
                )
            wrong = archive.testzip()
            for member in archive.infolist():
                if member.filename.endswith("data.pkl"):
                    _check_said(path, archive.read(member))
    except InputError:
        raise
    except (BadZipFile, EOFError, RuntimeError, ValueError, zlib.error) as error:
        raise InputError(
            f"{path}: not a file of torch.save since PyTorch 1.6: {error}"
        ) from None
    if wrong is not None:
        raise InputError(f"{path}: damaged: the checksum of {wrong[:80]} is wrong")


def _check_said(path: Path, said: bytes) -> None:
    """Refuse a pickle that PyTorch would take long to read, or to refuse."""
    if len(said) > MOST_SAID:
        raise InputError(f"{path}: holds more than weights: save the state_dict alone")
    for _, argument, _ in pickletools.genops(said):
        if isinstance(argument, str | bytes) and len(argument) > LONGEST_NAME:
            raise InputError(
                f"{path}: damaged: a name in it has {len(argument):,} characters"
            )


def _arrays(source: Path, tensors: Mapping[str, Any]) -> dict[str, Array]:
    """Return a state dict's tensors as arrays."""
    arrays = dict[str, Array]()
    for name, tensor in tensors.items():
        try:
            arrays[name] = _array(source, name, tensor)
        except (RuntimeError, TypeError):  # of PyTorch: sparse, nested, without data
            few = f"{name[:80]} cannot be an array: save weights as dense tensors"
            raise InputError(f"{source}: {few}") from None
    return arrays


def _array(source: Path, name: str, tensor: Any) -> Array:
    if not isinstance(name, str) or not hasattr(tensor, "shape"):
        raise InputError(f"{source}: {in_few_words(name, 80)} is not a tensor")
    if not hasattr(tensor, "detach"):
        return np.asarray(tensor)
    tensor = tensor.detach().cpu()
    kind = str(tensor.dtype).rpartition(".")[2]
    counts = name.rpartition(".")[2] in OF_BATCH_NORM  # refused by _order
    if kind not in ("float16", "float32", "float64") and not counts:
        raise InputError(f"{source}: {name[:80]} is {kind}: save weights as float32")
    return np.asarray(tensor.numpy())
