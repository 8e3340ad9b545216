"""Networks for other programs: ONNX, PyTorch's weights, C and a model card.

>>> import nnx
>>> network = nnx.Network([64, 32, 10])
>>> nnx.export.pytorch(network, "digits.safetensors")  # doctest: +SKIP
"""

from collections.abc import Mapping
from os import PathLike
from typing import Any

from nnx import files
from nnx.data import given
from nnx.data.dataset import Dataset
from nnx.errors import InputError, in_few_words
from nnx.export import c_header, model_card, onnx_graph, quantized, state_dict
from nnx.network import Network, checked
from nnx.settings import complete
from nnx.training.evaluate import check_fits, evaluate
from nnx.training.scores import in_words, samples, score_text


def onnx(network: Network, path: str | PathLike[str]) -> None:
    """Write a network as ONNX, which needs the package `onnx` (the extra [onnx]).

    The graph has one input (n, features) for any n: "pixels", or "features" for a
    table. Pixels are from 0 to the maximum of the network's frame: uint8 if that is 2
    to 255, otherwise float32. A table's numbers are float64, unscaled, with a 0 or 1
    for each category of a column of text. Scaling is part of the graph. The outputs are
    "probabilities" (n, classes) and "label", int64: (n,) class numbers, or (n, labels)
    0 or 1 for several labels. A regression has the output "values" (n, targets),
    float64, in the targets' units. The file's metadata hold the task, and the names of
    classes, features and targets, as JSON.

    Raises:
        InputError: the file cannot be written, or the network is larger than 2 GB
        MissingLibraryError: the package `onnx` is not installed
    """
    file = files.given(path, "a file to write")
    files.write(file, onnx_graph.content(checked(network)))


def pytorch(network: Network, path: str | PathLike[str]) -> str:
    """Write a network's weights for PyTorch; return the PyTorch code that loads them.

    The file is safetensors with the `state_dict` of a Sequential(Linear, ReLU, …):
    "0.weight" (out, in), "0.bias" (out,), "2.weight", … PyTorch is not needed to write
    it. `nnx.from_pytorch` reads it back as the same network.

    Raises:
        InputError: the file cannot be written, or is a model of nnx
    """
    file = files.given(path, "a file to write")
    state_dict.check_replaceable(file)
    files.write(file, state_dict.content(checked(network)))
    return state_dict.recipe(network, file)


def c(
    network: Network,
    path: str | PathLike[str],
    *,
    int8: bool = False,
    data: Dataset | None = None,
) -> str:
    """Write a network as a C99 header; return its 8-bit test score in words, or "".

    The header has one function, `nnx_predict(pixels, probabilities)` or
    `nnx_predict(features, values)`, whose arguments are as for `onnx`, for one row. It
    allocates no memory. All numbers are read back with the same bits.

    int8: use 8-bit weights, scaled by each unit's largest weight, and integer sums
    data: a data set, required by int8, whose test images give the accuracy, or R², that
        the header states

    Raises:
        InputError: int8 without data, data that do not fit the network, or a file that
            cannot be written
    """
    file = files.given(path, "a file to write")
    content, said = c_content(checked(network), int8=int8, data=data)
    files.write(file, content)
    return said


def c_content(
    network: Network, *, int8: bool, data: Dataset | None
) -> tuple[bytes, str]:
    """Return the header, and its 8-bit test score or ""; arguments as for `c`."""
    if not isinstance(int8, bool):
        raise InputError(f"int8 must be True or False, not {in_few_words(int8)}")
    if not int8:
        return c_header.content(network), ""
    if data is None:
        raise InputError("int8 needs data to be measured on")
    data = given.loaded(data)
    check_fits(network, data)
    score, full = quantized.score(network, data), evaluate(network, data)
    said = (
        f"test {in_words(score, full.metric)} in 8 bits on {full.images:,} "
        f"{samples(network.columns)} of {data.name}, "
        f"{score_text(full.score, full.metric)} in {network.layers[0].bias.dtype}"
    )
    return c_header.content(network, int8=True, said=said), said


def card(
    network: Network,
    path: str | PathLike[str],
    data: Dataset,
    settings: Mapping[str, Any] | None = None,
) -> None:
    """Write a model card: a network's description and its results on the test rows.

    It is Markdown with metadata in YAML, as model hubs read from a README.md.

    settings: of the training, if known

    Raises:
        InputError: the data do not fit the network; the file cannot be written, or
            exists and is not a model card of nnx
    """
    file = files.given(path, "a file to write")
    model_card.check_replaceable(file)
    if settings is not None:
        if not isinstance(settings, Mapping):
            raise InputError(f"settings must be by name, not {in_few_words(settings)}")
        settings = complete(settings)
    content = model_card.content(checked(network), given.loaded(data), settings)
    files.write(file, content)
