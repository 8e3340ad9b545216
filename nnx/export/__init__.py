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
from nnx.training.log import METRIC_NAMES


def onnx(network: Network, path: str | PathLike[str]) -> None:
    """Write a network as ONNX, which needs the package `onnx` (the extra [onnx]).

    The graph has one input, "pixels" or, of a table, "features" (n, features), n being
    free. Pixels are in the units of the data, uint8 where those are bytes and float32
    elsewhere; scaling is part of the graph. A table's numbers are float64, as they
    stand in the table, with a 0 or 1 for each category of a column of text. Outputs are
    "probabilities" (n, classes) and "label", int64 (n,), which is the class's number,
    or 0 or 1 for each of several labels (n, labels); of a regression "values" (n,
    targets), float64, in the targets' units. Names of classes, features and targets are
    in the file's metadata, as JSON.

    Raises:
        InputError: a file that cannot be written; a network of more than 2 GB
        MissingLibraryError: there is no package `onnx`
    """
    file = files.given(path, "a file to write")
    files.write(file, onnx_graph.content(checked(network)))


def pytorch(network: Network, path: str | PathLike[str]) -> str:
    """Write a network's weights as PyTorch's; return the lines that load them there.

    The file is safetensors with the `state_dict` of a Sequential(Linear, ReLU, …):
    "0.weight" (out, in), "0.bias" (out,), "2.weight", … PyTorch is not needed for it.
    `nnx.from_pytorch` reads it back, to the same network.

    Raises:
        InputError: a file that cannot be written, or is a model of nnx
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
    """Write a network as a header of C99; return what it says of 8 bits, or nothing.

    It has one function, `nnx_predict(pixels, probabilities)`, or `nnx_predict(features,
    values)`; what it takes and gives is as for `onnx`, for one row. It allocates
    nothing. Numbers read back as the same bits.

    int8: weights of 8 bits, each unit's over its largest, and sums of integers
    data: what to measure it on, which int8 needs: the header states the accuracy, or R²

    Raises:
        InputError: int8 without data, data that do not fit the network, a file that
            cannot be written
    """
    file = files.given(path, "a file to write")
    content, said = c_content(checked(network), int8=int8, data=data)
    files.write(file, content)
    return said


def c_content(
    network: Network, *, int8: bool, data: Dataset | None
) -> tuple[bytes, str]:
    """Return the header, and what it says of 8 bits; as for `c`."""
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
        f"test {METRIC_NAMES[full.metric]} of 8 bits {score:.4f} on {full.images:,} "
        f"rows of {data.name}, {full.score:.4f} of {network.layers[0].bias.dtype}"
    )
    return c_header.content(network, int8=True, said=said), said


def card(
    network: Network,
    path: str | PathLike[str],
    data: Dataset,
    settings: Mapping[str, Any] | None = None,
) -> None:
    """Write a model card: how good a network is on its test rows, and all about it.

    It is Markdown with metadata in YAML, as model hubs read a README.md.

    settings: of its training, complete, if they are known

    Raises:
        InputError: data that do not fit the network; a file that cannot be written, or
            that is there and is no model card of nnx
    """
    file = files.given(path, "a file to write")
    model_card.check_replaceable(file)
    if settings is not None:
        if not isinstance(settings, Mapping):
            raise InputError(f"settings must be by name, not {in_few_words(settings)}")
        settings = complete(settings)
    content = model_card.content(checked(network), given.loaded(data), settings)
    files.write(file, content)
