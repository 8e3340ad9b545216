"""All 10,000 test images of MNIST, in every format."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compiled import predict

import nnx
from nnx.export import c_header, onnx_graph, quantized
from nnx.maths.state import Layer

pytestmark = [
    pytest.mark.sweep,
    pytest.mark.skipif(
        "NNX_DATA_DIR" not in os.environ, reason="needs MNIST, in NNX_DATA_DIR"
    ),
]
BOUND = 1e-5
NETWORKS = {
    "relu": ([784, 128, 10], "relu", {}),
    "deep": ([784, 64, 32, 10], ["gelu", "tanh"], {"optimizer": "adam"}),
    "raw": ([784, 50, 10], "tanh", {"pixels": "raw", "learning_rate": 0.02}),
}


@pytest.fixture(scope="module", params=NETWORKS)
def trained(request: pytest.FixtureRequest) -> tuple[nnx.Network, nnx.Dataset]:
    sizes, activation, settings = NETWORKS[request.param]
    data = nnx.load("mnist")
    network = nnx.Network(sizes, activation, seed=1)
    options = {"batch_size": 128, "epochs": 1, "backend": "numpy"} | settings
    return nnx.train(network, data, **options).network, data


def _check(found: Any, network: nnx.Network, data: nnx.Dataset) -> None:
    """Demand what nnx gives, or as much as float32 itself is away from float64."""
    exact = network.replace(
        layers=[Layer(*(a.astype(np.float64) for a in la)) for la in network.layers]
    )
    images = data.test.images
    own = network.predict_proba(images, backend="numpy")
    rounding = np.abs(own - exact.predict_proba(images, backend="numpy")).max()
    assert np.abs(found - own).max() <= max(BOUND, 4 * rounding)


def test_onnxruntime(trained: tuple[nnx.Network, nnx.Dataset]) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    network, data = trained
    session = runtime.InferenceSession(onnx_graph.content(network))
    found = session.run(["probabilities"], {"pixels": data.test.images})[0]
    _check(found, network, data)


def test_pytorch(trained: tuple[nnx.Network, nnx.Dataset], tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="needs the extra [torch]")
    network, data = trained
    names = {"pixels": torch.from_numpy(data.test.images)}
    exec(nnx.export.pytorch(network, tmp_path / "a.safetensors"), names)
    _check(names["probabilities"].detach().numpy(), network, data)


def test_c(trained: tuple[nnx.Network, nnx.Dataset], tmp_path: Path) -> None:
    network, data = trained
    images, header = data.test.images, c_header.content(network)
    found = predict(header, tmp_path, images, 10, "float32")
    _check(found, network, data)


def test_8_bits(trained: tuple[nnx.Network, nnx.Dataset], tmp_path: Path) -> None:
    network, data = trained
    header = c_header.content(network, int8=True)
    found = predict(header, tmp_path, data.test.images, 10, "float32")
    right = float(np.mean(found.argmax(axis=1) == data.test.labels))
    assert right == pytest.approx(quantized.score(network, data), abs=1e-3)
    assert abs(right - nnx.evaluate(network, data).accuracy) <= 0.003
