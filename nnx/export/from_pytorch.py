"""PyTorch's weights as a network."""

import json
import os
import pickletools
import re
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from nnx import files, model_file
from nnx.data.dataset import Array, Dataset
from nnx.errors import InputError, in_few_words
from nnx.export import state_dict
from nnx.export.foreign import made
from nnx.maths.state import Layer, Layers
from nnx.network import Network
from nnx.tensors import check_tensor, read

IN_MEMORY = Path("state_dict")
# What programs call the weights among other things that they save.
INSIDE = "state_dict", "model_state_dict", "model"
# What a layer of BatchNorm has beside its weight and bias.
OF_BATCH_NORM = "running_mean", "running_var", "num_batches_tracked"
# What says which tensors there are: its bytes, and the characters of a name in it.
# PyTorch takes the square of these to say that it knows no such name.
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
    """Return the network of PyTorch's weights.

    weights: a file of safetensors; one of `torch.save` (.pt, .pth), which needs
        PyTorch and is read without running code from it; a module, or its
        `state_dict`: of each linear layer "NAME.weight" (out, in) and, if it has one,
        "NAME.bias" (out,)
    activation: of the hidden layers, or one for each of them, as for `nnx.Network`; a
        file that nnx has written says it itself, and the rest too
    data: a data set that the network is for, whose classes, pictures and columns it
        takes; without one it has classes "0", "1", …, and pixels up to 255
    pixels: what it was trained on: "unit", in [0, 1], or "raw", as in the data
    normalize: the mean and deviation with which pixels in [0, 1] were normalized; they
        become part of the first layer
    layers: the layers' names in their order, where no numbers in them tell it

    Raises:
        InputError: files that are damaged or of another kind, tensors that are no
            linear layers, layers that do not fit one another or the data
    """
    is_list = isinstance(layers, list | tuple)
    if not is_list or not all(isinstance(name, str) for name in layers):
        raise InputError(
            f"layers must be the layers' names in order, not {in_few_words(layers)}"
        )
    if hasattr(weights, "state_dict"):
        weights = weights.state_dict()
    if isinstance(weights, Mapping):
        source, said, tensors = IN_MEMORY, None, _arrays(IN_MEMORY, weights)
    elif isinstance(weights, str | PathLike):
        source = files.given(weights, "PyTorch's weights")
        said, tensors = _read(source)
    else:
        kind = type(weights).__name__
        raise InputError(f"weights are a file, a module or a state_dict, not {kind}")
    if said is not None:
        if activation is not None or data is not None or layers:
            raise InputError(f"{source}: says itself what it is: give it alone")
        return _own(source, said, tensors)
    names = _order(source, tensors, layers)
    found = _layers(source, tensors, names)
    return made(source, found, activation, data, pixels, normalize)


def _own(source: Path, said: str, tensors: dict[str, Array]) -> Network:
    """Return the network of a file that nnx has written."""
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
    """Return the layers' names in the order in which they are applied."""
    names = set[str]()
    for key in tensors:
        name, dot, what = key.rpartition(".")
        if what in OF_BATCH_NORM:
            raise InputError(
                f"{source}: {name[:80]} is a BatchNorm, and no linear layer: fold it "
                "into the linear layer before it (torch.nn.utils.fusion."
                "fuse_linear_bn_eval), and save that"
            )
        if not dot or what not in ("weight", "bias"):
            raise InputError(
                f"{source}: {key[:80]} is no weight or bias of a linear layer; nnx "
                "takes stacks of linear layers alone"
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
    """Return a key that sorts names by the numbers in them, of any length."""
    digits = [number.lstrip("0") for number in re.findall(r"\d+", name)]
    return [(len(number), number) for number in digits]


def _few(names: Sequence[str]) -> str:
    shown = ",".join(name[:40] for name in names[:8])
    return shown + (",…" if len(names) > 8 else "")


def _layers(source: Path, tensors: dict[str, Array], names: list[str]) -> Layers:
    found = list[Layer]()
    for name in names:
        layer = _layer(source, tensors, name)
        width, before = len(layer.weight), len(found[-1].bias) if found else None
        if before not in (None, width):
            raise InputError(
                f"{source}: {name[:80]} takes {width} numbers, the layer before it "
                f"gives {before}; if another comes before it, give layers in order"
            )
        found.append(layer)
    kinds = sorted({array.dtype.name for layer in found for array in layer})
    if len(kinds) > 1:
        raise InputError(f"{source}: its layers are {' and '.join(kinds)}")
    return found


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
    """Return what a file says of itself, if nnx has written it, and its tensors."""
    kind = path.suffix.lower()
    if os.path.isdir(path):  # or not, of a name too long to be one
        raise InputError(f"{path}: is a folder; give the file of weights that is in it")
    if kind in (".pkl", ".pickle", ".joblib", ".skops"):
        raise InputError(
            f"{path}: is not loaded, as such files may run code; load it in Python, "
            "with skops.io.load for one, and give the estimator to nnx.from_sklearn"
        )
    if kind == ".onnx":
        raise InputError(f"{path}: ONNX is written by nnx, and not read")
    if kind in (".pt", ".pth"):
        return None, _arrays(path, _loaded_by_torch(path))
    metadata, tensors = read(path)
    if model_file.KEY in metadata:
        raise InputError(f"{path}: is a model of nnx already")
    return metadata.get(state_dict.KEY), tensors


def _loaded_by_torch(path: Path) -> Mapping[str, Any]:
    """Return the state dict of a file of `torch.save`, which runs no code."""
    try:
        import torch
    except ImportError:
        raise InputError(
            f"{path}: needs PyTorch to be read, which is not here; save the weights as "
            "safetensors instead (safetensors.torch.save_file)"
        ) from None
    with files.readable(path):
        size = path.stat().st_size
        _check_archive(path, size)
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # pickle's, torch's, the archive's: whatever it holds
        said = str(error).rpartition("WeightsUnpickler error:")[2]
        first = " ".join(said.split())[:120]
        raise InputError(f"{path}: holds no weights alone: {first}") from None
    for name in INSIDE:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(name), Mapping):
            loaded = loaded[name]
    if not isinstance(loaded, Mapping):
        raise InputError(f"{path}: holds no state_dict, but {type(loaded).__name__}")
    # A tensor may be a view that repeats what is stored, to any size.
    if sum(getattr(tensor, "nbytes", 0) for tensor in loaded.values()) > size:
        raise InputError(f"{path}: damaged: its tensors are larger than what it holds")
    return loaded


def _check_archive(path: Path, size: int) -> None:
    """Refuse what is no archive of `torch.save`, or would be more than its size."""
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
            f"{path}: no file of torch.save since PyTorch 1.6: {error}"
        ) from None
    if wrong is not None:
        raise InputError(f"{path}: damaged: {wrong[:80]} is not what it was")


def _check_said(path: Path, said: bytes) -> None:
    """Refuse a description that PyTorch would take long to read, or to refuse."""
    if len(said) > MOST_SAID:
        raise InputError(f"{path}: holds more than weights: save the state_dict alone")
    for _, argument, _ in pickletools.genops(said):
        if isinstance(argument, str | bytes) and len(argument) > LONGEST_NAME:
            raise InputError(
                f"{path}: damaged: a name in it has {len(argument):,} characters"
            )


def _arrays(source: Path, tensors: Mapping[str, Any]) -> dict[str, Array]:
    """Return a state dict's tensors as arrays."""
    found = dict[str, Array]()
    for name, tensor in tensors.items():
        if not isinstance(name, str) or not hasattr(tensor, "shape"):
            raise InputError(f"{source}: {in_few_words(name, 80)} is no tensor")
        array = tensor
        if hasattr(tensor, "detach"):
            tensor = tensor.detach().cpu()
            kind = str(tensor.dtype).rpartition(".")[2]
            counts = name.rpartition(".")[2] in OF_BATCH_NORM  # refused in words
            if kind not in ("float16", "float32", "float64") and not counts:
                raise InputError(
                    f"{source}: {name[:80]} is {kind}: save weights as float32"
                )
            array = tensor.numpy()
        found[name] = np.asarray(array)
    return found
