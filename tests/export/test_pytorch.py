"""PyTorch's weights: exported, as PyTorch runs them, and back to the same bytes."""

import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kinds import CASES, Case
from safetensors.numpy import load as tensors_of
from safetensors.numpy import save as serialize

import nnx
from nnx import memory
from nnx.data.dataset import Column, Frame
from nnx.errors import InputError
from nnx.export import state_dict
from nnx.maths.activations import ACTIVATIONS
from nnx.network import Network


def _torch() -> Any:
    return pytest.importorskip("torch", reason="needs the extra [torch]")


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_printed_lines_give_the_network_s_outputs(
    case: Case, tmp_path: Path
) -> None:
    torch = _torch()
    network, rows, wanted = case
    lines = nnx.export.pytorch(network, tmp_path / 'a "quoted".safetensors')
    names: dict[str, Any] = {
        state_dict.input_spec(network).name: torch.from_numpy(rows)
    }
    exec(lines, names)
    found = names["values" if network.task == "regression" else "probabilities"]
    # PyTorch's softplus is straight above 20, which is 2e-9 off.
    tolerance = max(case.tolerance, 1e-8)
    assert np.abs(found.detach().numpy() - wanted).max() <= tolerance


def test_names_in_the_printed_lines_can_be_read(tmp_path: Path) -> None:
    """In any alphabet, but none of them ends the comment that it is in."""
    columns = tuple(Column(name) for name in ("size (m²)", "Größe", "a\nimport os"))
    network = Network([3, 2]).replace(columns=columns, frame=Frame(1, 3, 1, 0))
    lines = nnx.export.pytorch(network, tmp_path / "a.safetensors")
    comment = "# features (n, 3): size (m²), Größe, a\\nimport os"
    assert comment in lines.splitlines()


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_there_and_back_are_the_same_bytes(case: Case, tmp_path: Path) -> None:
    case.network.save(tmp_path / "model.safetensors")
    nnx.export.pytorch(case.network, tmp_path / "weights.safetensors")
    nnx.from_pytorch(tmp_path / "weights.safetensors").save(tmp_path / "again")
    again = (tmp_path / "again").read_bytes()
    assert again == (tmp_path / "model.safetensors").read_bytes()


@pytest.mark.parametrize(
    "kind", [".safetensors", ".pt", "dict", "module", "checkpoint.pth"]
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_through_pytorch_and_back(
    kind: str, dtype: str, data: nnx.Dataset, tmp_path: Path
) -> None:
    torch = _torch()
    from safetensors.torch import save_file

    network = Network([25, 12, 8, 3], ["gelu", "relu"], seed=3, dtype=dtype)
    network = network.replace(classes=data.classes, frame=data.frame)
    lines = nnx.export.pytorch(network, tmp_path / "out.safetensors")
    names = {"pixels": torch.from_numpy(data.test.images)}
    exec(lines, names)
    weights: Any = names["model"].state_dict()
    path = tmp_path / f"back{kind}"
    if kind == ".safetensors":
        save_file(weights, path)
    elif kind == "checkpoint.pth":
        torch.save({"epoch": 3, "model_state_dict": weights}, path)
    else:
        torch.save(weights, path)
    given = {"dict": weights, "module": names["model"]}.get(kind, path)
    back = nnx.from_pytorch(given, ["gelu", "relu"], data=data)
    network.save(tmp_path / "a")
    back.save(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_training_goes_on_in_pytorch_without_the_network() -> None:
    torch = _torch()
    nn = torch.nn
    # A weight of one row is also one column's in memory.
    model = nn.Sequential(nn.Linear(9, 4), nn.ReLU(), nn.Linear(4, 1))
    network = nnx.from_pytorch(model, "relu")
    before = [part.copy() for layer in network.layers for part in layer]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 1
    after = [part for layer in network.layers for part in layer]
    assert all(map(np.array_equal, before, after))


@pytest.mark.parametrize(("approximate", "warned"), [("none", 1), ("tanh", 0)])
def test_an_exact_gelu_is_told(approximate: str, warned: int) -> None:
    nn = _torch().nn
    model = nn.Sequential(nn.Linear(9, 4), nn.GELU(approximate), nn.Linear(4, 2))
    with warnings.catch_warnings(record=True, action="always") as told:
        assert nnx.from_pytorch(model).activation[0] == "gelu"
    assert [each.filename for each in told] == [__file__] * warned
    assert all("GELU that is exact" in str(each.message) for each in told)


def test_a_sequential_states_its_activations() -> None:
    nn = _torch().nn
    of = {
        "relu": nn.ReLU(inplace=True), "elu": nn.ELU(inplace=True),
        "leaky_relu": nn.LeakyReLU(inplace=True),
        "tanh": nn.Tanh(), "sigmoid": nn.Sigmoid(), "softplus": nn.Softplus(),
        "silu": nn.SiLU(), "gelu": nn.GELU("tanh"),
    }  # fmt: skip
    parts: list[Any] = [nn.Flatten(), nn.Linear(9, 3), nn.Linear(3, 3)]
    for activation in of.values():
        parts += [activation, nn.Dropout(), nn.Linear(3, 3)]
    network = nnx.from_pytorch(nn.Sequential(*parts))
    assert {*of} == ACTIVATIONS.keys() - {"identity"}
    assert network.activation == ("identity", *of, "identity")

    def hidden(activation: Any, *last: Any) -> Any:
        return nn.Sequential(nn.Linear(9, 3), activation, nn.Linear(3, 2), *last)

    assert nnx.from_pytorch(hidden(of["silu"]), "swish").activation[0] == "silu"
    ends = hidden(of["silu"], nn.LogSoftmax(dim=1))
    assert nnx.from_pytorch(ends).activation[0] == "silu"
    with pytest.raises(InputError, match="has the activation tanh, not relu: leave"):
        nnx.from_pytorch(hidden(of["tanh"]), "relu")
    # What nnx does not have, and what it would not compute.
    for unknown in (
        hidden(nn.LeakyReLU(0.3)),
        hidden(of["relu"], nn.ReLU()),
        nn.Sequential(of["tanh"], *hidden(of["relu"])),
        nn.Sequential(nn.Linear(9, 3), of["tanh"], of["relu"], nn.Linear(3, 2)),
    ):
        with pytest.raises(InputError, match="does not say which activation"):
            nnx.from_pytorch(unknown)
        assert nnx.from_pytorch(unknown, "relu").sizes == (9, 3, 2)


def _weights(**changed: Any) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = {"0.weight": (4, 9), "0.bias": (4,), "2.weight": (2, 4), "2.bias": (2,)}
    made = {n: rng.normal(0, 1, s).astype(np.float32) for n, s in shapes.items()}
    made |= changed
    return {name: array for name, array in made.items() if array is not None}


def test_names_in_any_order_and_layers_without_bias() -> None:
    deep = {f"net.{i}.weight": np.eye(3, dtype=np.float16) * (i + 1) for i in range(12)}
    network = nnx.from_pytorch(dict(sorted(deep.items())), "identity")
    assert [layer.weight[0, 0] for layer in network.layers] == list(range(1, 13))
    assert network.layers[0].weight.dtype == np.float32  # half is made whole
    assert not any(layer.bias.any() for layer in network.layers)
    named = {
        "out.weight": np.ones((2, 3), np.float32),
        "hidden.weight": np.ones((3, 5), np.float32),
    }
    with pytest.raises(InputError, match="has layers hidden,out, and no numbers"):
        nnx.from_pytorch(named, "relu")
    some = {f"fc{i}.weight": np.eye(3, dtype=np.float32) for i in ("", 1)}
    with pytest.raises(InputError, match="has layers fc,fc1, and no numbers"):
        nnx.from_pytorch(some, "relu")
    network = nnx.from_pytorch(named, "relu", layers=["hidden", "out"])
    assert network.sizes == (5, 3, 2)
    for wrong in ["hidden"], ["hidden", "out", "hidden"]:
        with pytest.raises(InputError, match="its layers are hidden,out, not hidden"):
            nnx.from_pytorch(named, "relu", layers=wrong)
    with pytest.raises(InputError, match="layers must be the layers' names in order"):
        nnx.from_pytorch(named, "relu", layers=["hidden", 1])  # type: ignore[list-item]


def test_normalized_pixels_become_part_of_the_first_layer() -> None:
    images = np.arange(18, dtype=np.uint8).reshape(2, 9) * 14
    own = nnx.from_pytorch(_weights(), "tanh")
    moved = nnx.from_pytorch(_weights(), "tanh", normalize=(0.1307, 0.3081))
    seen = (images / 255 - 0.1307) / 0.3081
    plain = own.replace(columns=(nnx.data.dataset.Column("x"),) * 9)
    wanted = plain.predict_proba(seen.astype(np.float32))
    np.testing.assert_allclose(moved.predict_proba(images), wanted, atol=1e-6)
    for wrong in ((0, 0), (0,), (np.nan, 1), (10**400, 1), "ab", {}):
        with pytest.raises(
            InputError, match="normalize must be a mean and a deviation"
        ):
            nnx.from_pytorch(_weights(), "tanh", normalize=wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="for pixels that were in"):
        nnx.from_pytorch(_weights(), "tanh", normalize=(0, 1), pixels="raw")


@pytest.mark.parametrize(
    ("changed", "options", "words"),
    [
        ({}, {"activation": None}, "does not say which activation"),
        ({}, {"activation": "swash"}, "activation must be"),
        ({}, {"activation": ["relu", "relu"]}, "activation names 2 layers"),
        ({}, {"pixels": "squared"}, "pixels must be one of"),
        ({"2.weight": None}, {}, "2 has no weight: a linear layer's"),
        ({"2.weight": np.ones(4)}, {}, r"2 has a weight of shape \(4,\)"),
        ({"2.weight": np.ones((2, 0))}, {}, r"weight of shape \(2, 0\)"),
        ({"2.weight": np.ones((2, 5), np.float32)}, {}, "2 takes 5 numbers, the layer"),
        ({"2.bias": np.ones(3, np.float32)}, {}, r"2.bias should have shape \(2,\)"),
        (
            {"2.bias": np.full(2, np.nan, np.float32)},
            {},
            "2.bias holds values that are",
        ),
        ({"2.bias": np.ones(2)}, {}, "(rs|dict): its layers are float32 and float64"),
        ({"2.weight": np.ones((2, 4), int)}, {}, "in int64"),
        ({"1.running_mean": np.ones(4)}, {}, "1 is a BatchNorm, not a linear layer"),
        ({"1.alpha": np.ones(4)}, {}, "1.alpha is not a weight NAME.weight or bias"),
        ({"weight": np.ones(4)}, {}, "weight is not a weight NAME.weight or bias"),
    ],
    ids=str,
)
def test_what_is_no_stack_of_linear_layers(
    changed: dict[str, Any], options: dict[str, Any], words: str, tmp_path: Path
) -> None:
    options = {"activation": "relu"} | options
    path = tmp_path / "weights.safetensors"
    path.write_bytes(serialize(_weights(**changed)))
    for weights in path, _weights(**changed):
        with pytest.raises(InputError, match=words) as caught:
            nnx.from_pytorch(weights, **options)
        assert "\n" not in str(caught.value)


def test_a_module_with_batch_normalization(tmp_path: Path) -> None:
    """PyTorch folds it, as the refusal says; that is then taken."""
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    torch.manual_seed(0)
    linear, norm = torch.nn.Linear(9, 4), torch.nn.BatchNorm1d(4)
    norm(linear(torch.rand(50, 9)))
    module = torch.nn.Sequential(linear, norm, torch.nn.ReLU(), torch.nn.Linear(4, 2))
    torch.save(module.state_dict(), tmp_path / "weights.pt")
    for weights in module, tmp_path / "weights.pt":
        with pytest.raises(InputError, match="1 is a BatchNorm.*fuse_linear_bn_eval"):
            nnx.from_pytorch(weights, "relu")
    module.eval()
    folded = torch.nn.utils.fusion.fuse_linear_bn_eval(linear, norm)
    network = nnx.from_pytorch(torch.nn.Sequential(folded, *module[2:]), "relu")
    pixels = np.random.default_rng(0).random((5, 9)).astype(np.float32)
    expected = torch.softmax(module(torch.tensor(pixels)), 1).detach().numpy()
    np.testing.assert_allclose(network.predict_proba(pixels), expected, atol=1e-6)


def test_what_holds_no_weights(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder; give the file of weights"):
        nnx.from_pytorch(tmp_path)
    with pytest.raises(InputError, match="a module or a state_dict, not 3"):
        nnx.from_pytorch(3)
    with pytest.raises(InputError, match="holds no weights"):
        nnx.from_pytorch({})
    linear = _torch().nn.Linear
    with pytest.raises(InputError, match="a state_dict, not <class 'torch"):
        nnx.from_pytorch(linear)


def test_a_linear_layer_alone(tmp_path: Path) -> None:
    """Its tensors' names have no dot."""
    torch = _torch()
    for bias in True, False:
        module = torch.nn.Linear(9, 4, bias=bias)
        for weights in module, _pt(tmp_path, module.state_dict()):
            network = nnx.from_pytorch(weights)
            pixels = np.random.default_rng(0).random((5, 9)).astype(np.float32)
            expected = torch.softmax(module(torch.tensor(pixels)), 1).detach().numpy()
            found = network.predict_proba(pixels)
            np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.filterwarnings("ignore:.*prototype|.*beta state")
def test_tensors_that_are_no_arrays(tmp_path: Path) -> None:
    torch = _torch()
    ones = torch.ones(2, 4)
    nested = torch.nested.nested_tensor([torch.ones(3), torch.ones(2)])
    for tensor in ones.to_sparse(), ones.to_sparse_csr(), ones.to("meta"), nested:
        weights = {"0.weight": tensor}
        for given in weights, _pt(tmp_path, weights):
            says = "0.weight cannot be an array: save weights as dense tensors"
            with pytest.raises(InputError, match=says) as caught:
                nnx.from_pytorch(given)
            assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="weight cannot be an array"):
        nnx.from_pytorch(torch.nn.LazyLinear(3))


def test_tied_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Layers that share their memory are saved once."""
    torch = _torch()
    tied = torch.nn.Linear(40, 40)
    module = torch.nn.Sequential(*[tied, torch.nn.Tanh()] * 5, torch.nn.Linear(40, 3))
    path = _pt(tmp_path, module.state_dict())
    nnx.from_pytorch(module, "tanh").save(tmp_path / "a")
    nnx.from_pytorch(path, "tanh").save(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    monkeypatch.setattr(memory, "available", lambda: 30_000)
    with pytest.raises(InputError, match="its tensors exceed the file or memory"):
        nnx.from_pytorch(path, "tanh")


@pytest.mark.parametrize("inside", ["state_dict", "model_state_dict", "model"])
def test_a_checkpoint_in_half_precision(inside: str, tmp_path: Path) -> None:
    torch = _torch()
    module = torch.nn.Linear(9, 4)
    path = _pt(tmp_path, {"epoch": 3, inside: module.half().state_dict()})
    (layer,) = nnx.from_pytorch(path).layers
    assert layer.weight.dtype == layer.bias.dtype == np.float32
    np.testing.assert_array_equal(layer.weight, module.weight.detach().numpy().T)


def test_what_data_say_of_a_network(tmp_path: Path) -> None:
    table = tmp_path / "prices.csv"
    table.write_text("\n".join(["size,colour,price", *("1,red,2.5", "2,blue,7") * 9]))
    data = nnx.load(table, target="price")
    weights = _weights(**{"0.weight": np.ones((4, 3), np.float32)})
    weights |= {"2.weight": np.ones((1, 4), np.float32), "2.bias": np.ones(1, "f4")}
    network = nnx.from_pytorch(weights, "tanh", data=data)
    for name in "classes", "frame", "task", "columns", "targets":
        assert getattr(network, name) == getattr(data, name)
    with pytest.raises(InputError, match="for pixels that were in"):
        nnx.from_pytorch(weights, "tanh", data=data, normalize=(0, 1))
    named = nnx.from_pytorch({"0.weight": np.ones((10, 64))}, data="digits")
    assert named.frame == nnx.load("digits").frame
    assert nnx.from_pytorch(_weights(), "tanh", pixels="raw").pixels == "raw"


def test_data_of_another_shape(data: nnx.Dataset) -> None:
    with pytest.raises(InputError, match="takes 9 features and gives 2 outputs; blobs"):
        nnx.from_pytorch(_weights(), "relu", data=data)


def test_a_file_that_says_itself_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    nnx.export.pytorch(Network([4, 2]), path)
    digits = nnx.load("digits")
    for given in (
        {"activation": "relu"},
        {"data": digits},
        {"layers": ["0"]},
        {"pixels": "raw"},
        {"normalize": (0.1307, 0.3081)},
    ):
        with pytest.raises(InputError, match="describes itself: give it without"):
            nnx.from_pytorch(path, **given)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="damaged, or changed since nnx wrote it"):
        nnx.from_pytorch(path)
    tensors, said = tensors_of(bytes(content)), {state_dict.KEY: "[" * 100_000}
    path.write_bytes(serialize(tensors, said))
    with pytest.raises(InputError, match="not written by nnx"):
        nnx.from_pytorch(path)
    path.write_bytes(serialize(tensors))
    assert nnx.from_pytorch(path).sizes == (4, 2)


def test_a_model_of_nnx_is_neither_read_nor_written_over(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    Network([4, 2]).save(path)
    before = path.read_bytes()
    with pytest.raises(InputError, match="is already a model of nnx"):
        nnx.from_pytorch(path)
    with pytest.raises(InputError, match="is a model of nnx; choose another"):
        nnx.export.pytorch(Network([4, 3]), path)
    assert path.read_bytes() == before
    path.write_text("no tensors")
    nnx.export.pytorch(Network([4, 3]), path)
    assert nnx.from_pytorch(path).sizes == (4, 3)


@pytest.mark.parametrize("name", ["a.pkl", "a.JOBLIB", "a.skops", "a.onnx"])
def test_kinds_that_are_not_read(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(InputError, match="run code|does not read it"):
        nnx.from_pytorch(tmp_path / name)


def test_a_pt_without_pytorch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    (tmp_path / "a.pt").write_bytes(b"x")
    with pytest.raises(InputError, match="can only be read with PyTorch"):
        nnx.from_pytorch(tmp_path / "a.pt", "relu")


def _pt(tmp_path: Path, weights: Any) -> Path:
    path = tmp_path / "weights.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _torch().save(weights, path)
    return path


def test_a_pt_runs_no_code_and_grows_no_larger_than_it_is(tmp_path: Path) -> None:
    torch = _torch()
    import os

    class Attack:
        def __reduce__(self) -> object:
            return os.mkdir, (str(tmp_path / "attacked"),)

    one = torch.zeros(1).expand(10**6, 10**6)
    for weights, words in (
        ({"0.weight": Attack()}, "holds more than weights"),
        (torch.nn.Linear(2, 2), "Linear was not .*; save its state_dict alone"),
        ([torch.zeros(2)], "holds list, not a state_dict"),
        ({"0.weight": one}, "its tensors exceed the file or memory"),
        ({"0.weight": 3}, "'0.weight' is not a tensor"),
        ({"0.weight": torch.zeros(2, 2, dtype=torch.bfloat16)}, "is bfloat16"),
    ):
        with pytest.raises(InputError, match=words) as caught:
            nnx.from_pytorch(_pt(tmp_path, weights), "relu")
        assert str(caught.value).startswith(f"{tmp_path / 'weights.pt'}: ")
        assert "\n" not in str(caught.value)
        assert "Please" not in str(caught.value)  # PyTorch's advice is to run the code
    assert not (tmp_path / "attacked").exists()
    content = bytearray(_pt(tmp_path, {"0.weight": torch.ones(2, 2)}).read_bytes())
    content[content.index(np.ones(4, np.float32).tobytes())] ^= 1
    (tmp_path / "flipped.pt").write_bytes(content)
    with pytest.raises(
        InputError, match="damaged: the checksum of weights/data/0 is wrong"
    ):
        nnx.from_pytorch(tmp_path / "flipped.pt", "relu")
    bomb = tmp_path / "bomb.pt"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("weights/data.pkl", bytes(10**7))
    with pytest.raises(InputError, match="says that it holds more than it has"):
        nnx.from_pytorch(bomb, "relu")


def test_a_pt_with_a_name_that_takes_long_to_refuse(tmp_path: Path) -> None:
    """PyTorch's own refusal would take the square of its length."""
    path = _pt(tmp_path, {"0.weight": _torch().ones(2, 2)})
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = b"_rebuild_tensor_v2"
    said = members["weights/data.pkl"].replace(name, name * 10_000)
    with zipfile.ZipFile(path, "w") as archive:
        for each, content in (members | {"weights/data.pkl": said}).items():
            archive.writestr(each, content)
    with pytest.raises(InputError, match="a name in it has 180,013 characters"):
        nnx.from_pytorch(path, "relu")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("weights/data.pkl", bytes(2_000_000))
    with pytest.raises(InputError, match="holds more than weights: save the state_d"):
        nnx.from_pytorch(path, "relu")
