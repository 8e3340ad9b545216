"""C: the compiled header gives the same results as the network."""

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from compiled import COMPILER, STRICT, predict
from kinds import CASES, Case

import nnx
from nnx.data.dataset import Dataset, Split
from nnx.export import c_header, quantized
from nnx.maths.losses import LOSSES
from nnx.network import Network


def _type(network: Network, *, int8: bool = False) -> str:
    is_double = network.layers[0].weight.dtype == np.float64 and not int8
    return "float64" if is_double or network.task == "regression" else "float32"


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_outputs_are_the_network_s(case: Case, tmp_path: Path) -> None:
    network, given, wanted = case
    header, width = c_header.content(network), network.sizes[-1]
    found = predict(header, tmp_path, given, width, _type(network))
    assert np.abs(found - wanted).max() <= case.tolerance


@pytest.mark.parametrize("int8", [False, True])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_is_said_fits_the_function(case: Case, int8: bool) -> None:
    """Arrays of another type, or too few elements, would be written beyond."""
    content = c_header.content(case.network, int8=int8, said="R² 0.5 of a\\?")
    said, _, code = content.decode().partition("#ifndef")
    assert "// R2 0.5 of a__\n" in said
    signature = re.search(r"nnx_predict\(const (\w+) \*(\w+), (\w+) \*(\w+)\)", code)
    assert signature is not None
    x_type, x, y_type, y = signature.groups()
    assert f" {x_type} {x}[NNX_FEATURES];" in said
    assert f" {y_type} {y}[NNX_OUTPUTS];" in said
    assert f"#define NNX_WIDEST {max(case.network.sizes)}\n" in code
    assert f"#define NNX_MOST_UNITS {max(case.network.sizes[1:])}\n" in code


SOME = "every activation, float32", "regression, float32", "float pixels"
EIGHT = {name: CASES[name] for name in (*SOME, "multilabel, float64")}


@pytest.mark.parametrize("case", EIGHT.values(), ids=EIGHT)
def test_8_bits_are_what_was_measured(case: Case, tmp_path: Path) -> None:
    """And near the network's own."""
    network, given, wanted = case
    header, width = c_header.content(network, int8=True), network.sizes[-1]
    found = predict(header, tmp_path, given, width, _type(network, int8=True))
    images = given
    if network.columns:
        mean, scale = (
            np.array(values)
            for values in zip(*(
                (c.mean, c.scale) for c in network.columns for _ in range(c.width)
            ), strict=True)
        )  # fmt: skip
        images = ((given - mean) / scale).astype(np.float32)
    logits = quantized.logits(network, quantized.quantized(network), images)
    outputs = LOSSES[network.loss].outputs(logits, xp=np)
    if network.task == "regression":
        outputs = outputs * [t.scale for t in network.targets]
        outputs = outputs + [t.mean for t in network.targets]
    # Where a library's exp differs in its last bit, rounding may go the other way.
    spread = np.ptp(wanted)
    assert np.median(np.abs(found - outputs)) <= 1e-6 * max(1, np.abs(wanted).max())
    assert np.abs(found - outputs).max() <= 0.01 * spread
    assert np.abs(found - wanted).max() <= 0.05 * spread


def test_sums_have_room_for_the_widest() -> None:
    assert quantized.sums_fit(Network([66_000, 2]))
    assert not quantized.sums_fit(Network([67_000, 2]))
    assert b"int64_t sum[" in c_header.content(Network([67_000, 2]), int8=True)
    levels = [quantized.levels(Network([9, n, 2]), 1) for n in (500, 1000, 67_000)]
    assert levels == [32767, 16909, 255]


@pytest.mark.parametrize("int8", [False, True])
@pytest.mark.parametrize("name", ["every activation, float64", "regression, float32"])
def test_the_stack_that_it_needs_is_said(name: str, int8: bool, tmp_path: Path) -> None:
    """A microcontroller may have a few kB of it."""
    if COMPILER is None or "gcc" not in Path(COMPILER).resolve().name:
        pytest.skip("needs gcc's -fstack-usage")
    network = CASES[name].network
    if name.startswith("every"):
        frame, size = nnx.load("digits").frame, (600, *network.sizes[1:])
        network = Network(size, network.activation[:-1], dtype="float64")
        network = network.replace(frame=frame._replace(height=20, width=30))
    header = c_header.content(network, int8=int8)
    predict_it = "void predict(const void *x, void *y) { nnx_predict(x, y); }"
    source = f"{header.decode()}\n{predict_it}"
    command = [COMPILER, "-std=c99", "-O1", "-fstack-usage", "-c", "-xc", "-"]
    subprocess.run(command, cwd=tmp_path, input=source, text=True, check=True)
    [usage] = tmp_path.glob("*.su")
    frames = [int(line.split("\t")[1]) for line in usage.read_text().splitlines()]
    told = re.search(r"the stack, of which about ([\d,]+) bytes", header.decode())
    assert told is not None
    assert 0 <= sum(frames) - int(told[1].replace(",", "")) <= 400


@pytest.mark.parametrize("bias", [-80, -87, -100, -104])
def test_outputs_too_small_to_have_a_scale(bias: float, tmp_path: Path) -> None:
    """32767 over the largest would be infinite."""
    network = Network([16, 4, 2], "sigmoid", init="lecun")
    first, last = network.layers
    first = first._replace(bias=np.full(4, bias, np.float32))
    network = network.replace(layers=[first, last._replace(bias=np.float32([1, 2]))])
    images = np.random.default_rng(0).integers(0, 256, (9, 16)).astype(np.uint8)
    wanted = network.predict_proba(images)
    found = quantized.logits(network, quantized.quantized(network), images)
    outputs = LOSSES[network.loss].outputs(found, xp=np)
    header = c_header.content(network, int8=True)
    compiled = predict(header, tmp_path, images, 2, "float32")
    for each in outputs, compiled:
        np.testing.assert_allclose(each, wanted, rtol=1e-6)


def test_weights_of_nought_have_no_step() -> None:
    layers = quantized.quantized(Network([3, 2], init="zeros"))
    assert not layers[0].weight.any()
    assert not layers[0].step.any()


def test_numbers_read_back_as_the_same_bits() -> None:
    for dtype in "float32", "float64":
        network = Network([30, 20, 3], seed=4, dtype=dtype)
        weight = network.layers[0].weight
        weight.flat[:7] = [0, -0.0, 1, -1e-38, 3e38, np.pi, 1e-10]
        text = c_header.content(network).decode()
        numbers = re.search(r"nnx_weight_0\[600\] = \{\n(.*?)\};", text, re.S)
        assert numbers is not None
        words = numbers[1].replace("\n", " ").split(",")
        read = np.array([word.strip().rstrip("f") for word in words], dtype)
        assert read.tobytes() == weight.tobytes()


def test_two_networks_in_one_file(tmp_path: Path) -> None:
    """The second would be skipped, as its names are those of the first."""
    if COMPILER is None:
        pytest.skip("there is no C compiler")
    for name, seed in ("a", 1), ("same", 1), ("other", 2):
        content = c_header.content(Network([4, 3], seed=seed))
        (tmp_path / f"{name}.h").write_bytes(content)
    command = [COMPILER, *STRICT, "-Wno-unused-function", "-fsyntax-only", "-xc", "-"]
    for second, says in ("a", ""), ("same", ""), ("other", "two networks in one file"):
        source = f'#include "a.h"\n#include "{second}.h"\n'
        ran = subprocess.run(
            command, cwd=tmp_path, input=source, capture_output=True, text=True
        )
        assert (ran.returncode != 0) == bool(says)
        assert says in ran.stderr


def test_names_are_bytes_of_utf_8() -> None:
    text = c_header.content(CASES["table, float32"].network).decode("ascii")
    assert r'"colour=gr\303\274n"' in text
    assert r'"colour=a \042quote\042 \134 \077\077/"' in text


@pytest.mark.parametrize("task", ["classification", "multilabel", "regression"])
def test_what_8_bits_reach(task: str) -> None:
    """On data that the network is right about, since it is asked what they are."""
    network = CASES["every activation, float32"].network
    given = nnx.load("digits").test.images
    labels = network.predict(given)
    if task == "multilabel":
        network = network.replace(task=task)
        labels = network.predict(given).astype(np.uint8)
    if task == "regression":
        network = Network([64, 20, 10], "tanh").replace(frame=network.frame)
        targets = tuple(nnx.data.dataset.Target(f"y{i}") for i in range(10))
        network = network.replace(task=task, classes=(), targets=targets)
        labels = network.predict(given)
    part = Split(given, labels)
    data = Dataset(
        "own", part, part, network.classes, network.frame,
        task=task, targets=network.targets,
    )  # fmt: skip
    score = quantized.score(network, data)
    assert 0.9 < score < 1 if task == "regression" else 0.8 < score <= 1


def test_pixels_that_are_fractions_are_measured_as_bytes() -> None:
    network, given, _ = CASES["every activation, float32"]
    layers = quantized.quantized(network)
    fractions = (given + np.float32(0.3)) / np.float32(network.frame.maximum)
    np.testing.assert_array_equal(
        quantized.logits(network, layers, fractions),
        quantized.logits(network, layers, given),
    )


def test_int8_wants_data(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = Network([25, 3]).replace(classes=data.classes, frame=data.frame)
    with pytest.raises(nnx.NnxError, match="int8 needs data"):
        nnx.export.c(network, tmp_path / "a.h", int8=True)
    for other in Network([25, 3]), Network([24, 3]):
        with pytest.raises(nnx.NnxError, match="does not fit the network"):
            nnx.export.c(other, tmp_path / "a.h", int8=True, data=data)
    with pytest.raises(nnx.NnxError, match="int8 must be True or False, not 1"):
        nnx.export.c(network, tmp_path / "a.h", int8=1, data=data)  # type: ignore[arg-type]
    odd = data._replace(name="a\\\n??/ü")
    said = nnx.export.c(network, tmp_path / "a.h", int8=True, data=odd)
    assert re.match(r"test accuracy \d+\.\d+ % in 8 bits on 60 images of ", said)
    assert predict(
        (tmp_path / "a.h").read_bytes(), tmp_path, data.test.images, 3, "float32"
    ).shape == (60, 3)
    assert nnx.export.c(network, tmp_path / "b.h") == ""
    monkeypatch.setattr(quantized, "score", lambda *known: 0.125)
    said = nnx.export.c(network, tmp_path / "a.h", int8=True, data=data)
    full = f"{100 * nnx.evaluate(network, data).score:.2f} % in float32"
    assert said.startswith("test accuracy 12.50 % in 8 bits")
    assert said.endswith(f"of {data.name}, {full}")
