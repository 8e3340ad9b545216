"""ONNX: onnxruntime gives the network's results, from a user's own inputs."""

import json
from pathlib import Path

import numpy as np
import pytest
from kinds import CASES, Case

import nnx
from nnx.errors import MissingLibraryError
from nnx.export import onnx_graph
from nnx.network import Network

onnx = pytest.importorskip("onnx", reason="needs the extra [onnx]")
runtime = pytest.importorskip("onnxruntime", reason="needs onnxruntime")


def ran(content: bytes, given: np.ndarray) -> dict[str, np.ndarray]:
    session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (source,) = session.get_inputs()
    assert source.shape == ["n", given.shape[1]]
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {source.name: given}), strict=True))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_outputs_are_the_network_s(case: Case) -> None:
    network, given, wanted = case
    for rows in given, given[:1]:
        found = ran(onnx_graph.content(network), rows)
        name = "values" if network.task == "regression" else "probabilities"
        apart = np.abs(found.pop(name) - wanted[: len(rows)])
        assert apart.max() <= case.tolerance
        if network.task == "classification":
            np.testing.assert_array_equal(
                found.pop("label"), wanted[: len(rows)].argmax(axis=1)
            )
        if network.task == "multilabel":
            np.testing.assert_array_equal(found.pop("label"), wanted[: len(rows)] > 0.5)
        assert not found


def test_what_the_file_says(tmp_path: Path) -> None:
    network = CASES["regression, float32"].network
    nnx.export.onnx(network, tmp_path / "a.onnx")
    model = onnx.load(tmp_path / "a.onnx")
    onnx.checker.check_model(model, full_check=True)
    known = {prop.key: json.loads(prop.value) for prop in model.metadata_props}
    assert known == {
        "task": "regression",
        "targets": ["price", "age"],
        "features": [
            "year", "colour=rot", "colour=grün", 'colour=a "quote" \\ ??/',
            "weight\nx = 0 #",
        ],
    }  # fmt: skip
    classes = onnx.load_from_string(onnx_graph.content(Network([4, 2])))
    assert '["0", "1"]' in {prop.value for prop in classes.metadata_props}


def test_the_same_bytes_each_time() -> None:
    network = CASES["multilabel, float32"].network
    assert onnx_graph.content(network) == onnx_graph.content(network)


def test_weights_are_the_same_bits() -> None:
    network = CASES["every activation, float64"].network
    model = onnx.load_from_string(onnx_graph.content(network))
    arrays = {a.name: onnx.numpy_helper.to_array(a) for a in model.graph.initializer}
    for i, (weight, bias) in enumerate(network.layers):
        np.testing.assert_array_equal(arrays[f"{2 * i}.weight"], weight)
        np.testing.assert_array_equal(arrays[f"{2 * i}.bias"], bias)


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(MissingLibraryError, match=r"pip install 'nnx-mlp\[onnx\]'"):
        onnx_graph.content(Network([4, 2]))


def test_more_than_a_file_can_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_graph, "MOST_BYTES", 39)
    with pytest.raises(nnx.NnxError, match="weights of 40 bytes: an ONNX file"):
        onnx_graph.content(Network([4, 2]))
