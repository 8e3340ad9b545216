"""A network as an ONNX graph that takes raw pixels, or a table's numbers."""

from typing import Any, NamedTuple

import numpy as np

from nnx import __version__
from nnx.data.dataset import Array, units
from nnx.errors import InputError, MissingLibraryError
from nnx.export.interface import (
    InputSpec,
    as_json,
    described,
    feature_names,
    input_spec,
    output_name,
)
from nnx.maths.activations import GELU_CUBIC, GELU_SCALE, LEAKY_SLOPE
from nnx.network import Network

# Old enough for every runtime in use. Gelu, an operator since opset 20, is composed.
OPSET, IR_VERSION = 13, 7
MOST_BYTES = 2**31 - 2**20  # protobuf's limit, less room for all but the weights
# Operators that runtimes have in float32 and, except for three, in float64.
OPERATORS: dict[str, tuple[str, dict[str, Any]]] = {
    "relu": ("Relu", {}),
    "leaky_relu": ("LeakyRelu", {"alpha": LEAKY_SLOPE}),
    "elu": ("Elu", {}),
    "tanh": ("Tanh", {}),
    "sigmoid": ("Sigmoid", {}),
    "softplus": ("Softplus", {}),
}
FLOAT32_ALONE = "leaky_relu", "elu", "softplus"


class Graph(NamedTuple):
    """A graph under construction: its nodes and its constants.

    helper: the module `onnx.helper`
    dtype: of numbers between input and output
    """

    helper: Any
    dtype: str
    nodes: list[Any]
    constants: dict[str, Array]

    def add(self, operator: str, *inputs: str, name: str = "", **options: Any) -> str:
        """Add an operator; return the name of its output."""
        name = name or f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(self.helper.make_node(operator, inputs, [name], **options))
        return name

    def constant(self, name: str, value: Any, dtype: str = "") -> str:
        """Add a constant, by default in the graph's dtype; return its name."""
        self.constants[name] = np.asarray(value, dtype or self.dtype)
        return name

    def number(self, value: float) -> str:
        """Add a number as a constant; return its name."""
        return self.constant(f"{value:g}", value)

    def cast(self, x: str, dtype: str, name: str = "") -> str:
        """Add a conversion of x to another dtype; return its output's name."""
        kind = self.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self.add("Cast", x, name=name, to=kind)


def content(network: Network) -> bytes:
    """Return the content of an ONNX file for a network.

    Raises:
        InputError: the network is larger than 2 GB, the limit of an ONNX file
        MissingLibraryError: the package `onnx` is not installed
    """
    try:
        import onnx
    except ImportError:
        raise MissingLibraryError(
            "writing ONNX needs the package onnx: pip install 'nnx-mlp[onnx]'"
        ) from None

    size = sum(array.nbytes for layer in network.layers for array in layer)
    if size > MOST_BYTES:
        raise InputError(f"weights of {size:,} bytes: an ONNX file holds at most 2 GB")
    spec, dtype = input_spec(network), network.layers[0].weight.dtype.name
    graph = Graph(onnx.helper, dtype, [], {})
    x = _scaled(graph, spec)
    for i, (layer, name) in enumerate(
        zip(network.layers, network.activation, strict=True)
    ):
        weight = graph.constant(f"{2 * i}.weight", layer.weight)
        bias = graph.constant(f"{2 * i}.bias", layer.bias)
        x = _activated(graph, graph.add("Gemm", x, weight, bias), name)
    outputs = _outputs(graph, network, x)
    return _model(onnx, graph, network, spec, outputs)


def _scaled(graph: Graph, spec: InputSpec) -> str:
    """Add the scaling of the input; return the name of the first layer's input."""
    x = spec.name
    if spec.mean is not None:
        mean = graph.constant("mean", spec.mean, spec.dtype)
        scale = graph.constant("scale", spec.scale, spec.dtype)
        x = graph.add("Div", graph.add("Sub", x, mean), scale)
    if spec.dtype != graph.dtype:
        x = graph.cast(x, graph.dtype)
    if spec.factor != 1.0:
        x = graph.add("Mul", x, graph.constant("pixel_scale", spec.factor))
    return x


def _activated(graph: Graph, z: str, name: str) -> str:
    """Add an activation of z, with the formulas of the maths; return its name."""
    add, number = graph.add, graph.number
    if name == "identity":
        return z
    if name == "silu":
        return add("Mul", z, add("Sigmoid", z))
    if name == "gelu":
        cube = add("Mul", add("Mul", add("Mul", z, z), z), number(GELU_CUBIC))
        inner = add("Mul", add("Add", z, cube), number(GELU_SCALE))
        more = add("Add", add("Tanh", inner), number(1.0))
        return add("Mul", add("Mul", z, number(0.5)), more)
    if graph.dtype == "float32" or name not in FLOAT32_ALONE:
        operator, options = OPERATORS[name]
        return add(operator, z, **options)
    if name == "leaky_relu":
        return add("Max", z, add("Mul", z, number(LEAKY_SLOPE)))
    above, one = add("Relu", z), number(1.0)
    if name == "elu":
        below = add("Exp", add("Min", z, number(0.0)))
        return add("Add", above, add("Sub", below, one))
    small = add("Exp", add("Neg", add("Abs", z)))
    return add("Add", above, add("Log", add("Add", small, one)))


def _outputs(graph: Graph, network: Network, logits: str) -> dict[str, tuple[str, Any]]:
    """Add the outputs; return each one's dtype and shape, with "n" for the batch."""
    add, name, width = graph.add, output_name(network), network.sizes[-1]
    if network.task == "regression":
        mean, scale = units(network.targets)
        values = logits if graph.dtype == "float64" else graph.cast(logits, "float64")
        values = add("Mul", values, graph.constant("target_scale", scale, "float64"))
        add("Add", values, graph.constant("target_mean", mean, "float64"), name=name)
        return {name: ("float64", ("n", width))}
    several = network.task == "multilabel"
    add("Sigmoid" if several else "Softmax", logits, name=name)
    given: dict[str, tuple[str, Any]] = {name: (graph.dtype, ("n", width))}
    if several:
        graph.cast(add("Greater", name, graph.number(0.5)), "int64", "label")
        return given | {"label": ("int64", ("n", width))}
    add("ArgMax", name, name="label", axis=1, keepdims=0)
    return given | {"label": ("int64", ("n",))}


def _model(
    onnx: Any,
    graph: Graph,
    network: Network,
    spec: InputSpec,
    outputs: dict[str, tuple[str, Any]],
) -> bytes:
    helper = graph.helper

    def info(name: str, dtype: str, shape: Any) -> Any:
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return helper.make_tensor_value_info(name, kind, shape)

    made = helper.make_graph(
        graph.nodes,
        "nnx",
        [info(spec.name, spec.dtype, ("n", network.sizes[0]))],
        [info(name, *kind) for name, kind in outputs.items()],
        [onnx.numpy_helper.from_array(a, n) for n, a in graph.constants.items()],
    )
    model = helper.make_model(
        made,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="nnx",
        producer_version=__version__,
        doc_string=described(network),
    )
    about = {"classes": network.classes, "task": network.task}
    about |= {"targets": [target.name for target in network.targets]}
    about |= {"features": feature_names(network)}
    known = {name: as_json(value) for name, value in about.items() if value}
    helper.set_model_props(model, known)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))
