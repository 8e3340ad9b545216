"""Networks for other programs: ONNX, PyTorch's weights, C and a model card.

>>> import nnx
>>> network = nnx.Network([64, 32, 10])
>>> nnx.export.pytorch(network, "digits.safetensors")  # doctest: +SKIP
"""

from os import PathLike
from pathlib import Path

from nnx import files
from nnx.export import onnx_graph, state_dict
from nnx.network import Network


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
    files.write(Path(path), onnx_graph.content(network))


def pytorch(network: Network, path: str | PathLike[str]) -> str:
    """Write a network's weights as PyTorch's; return the lines that load them there.

    The file is safetensors with the `state_dict` of a Sequential(Linear, ReLU, …):
    "0.weight" (out, in), "0.bias" (out,), "2.weight", … PyTorch is not needed for it.
    `nnx.from_pytorch` reads it back, to the same network.

    Raises:
        InputError: a file that cannot be written
    """
    files.write(Path(path), state_dict.content(network))
    return state_dict.recipe(network, Path(path))
