"""`nnx train --from RUN`: a new run that begins with a trained network's weights."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_files import config, idx_folder, tree

import nnx
from nnx.network import Network
from nnx.settings.table import NETWORK, ROWS, NetworkSettings
from nnx.training.origin import described

Run = Callable[..., Any]
Refused = Callable[..., str]
OWN = (
    *("--hidden", "6,5", "--activation", "tanh,relu"),
    *("--dtype", "float64", "--pixels", "raw"),
)
# Weights hardly move: what a run has at its end is what it began with.
STILL = "--learning-rate", "1e-12", "--epochs", "1", "--quiet", "--backend", "numpy"


def same(a: Path, b: Path) -> bool:
    one, other = Network.load(a), Network.load(b)
    return all(
        x.shape == y.shape and np.allclose(x, y, rtol=0, atol=1e-9)
        for pair in zip(one.layers, other.layers, strict=True)
        for x, y in zip(*pair, strict=True)
    )


@pytest.fixture
def tanh(done: Run, old_run: Path, cwd: Path) -> Path:
    """A run of three layers with two activations, in float64, on raw pixels."""
    done("train", "squares", *OWN, *STILL, "--out", "tanh")
    return cwd / "tanh"


def test_a_new_run_begins_with_the_weights(done: Run, tanh: Path, cwd: Path) -> None:
    """With its sizes, activations and data, and settings of its own."""
    before = tree(tanh)
    begin = "train", "--from", "~/tanh", *STILL, "--out", "b", "--l2", "0.1"
    ran = done(*begin, "--json", env={"HOME": str(cwd)})
    assert json.loads(ran.stdout)["network"] == "16-6-5-3"
    assert same(cwd / "b", tanh)
    made, own = config(cwd / "b"), config(tanh)
    assert made == own | {"from": str(tanh), "l2": 0.1}
    assert tree(tanh) == before
    # It learns as any other, from a model file too, and again from its settings.
    model, learns = "tanh/model.safetensors", ("--epochs", "2", "--quiet")
    ran = done("train", "--from", model, *learns, "--out", "c", "--pixels", "raw")
    assert not same(cwd / "c", tanh)
    ran = done("train", "--config", "c/config.toml", "--out", "d", "--quiet")
    models = [(cwd / name / "model.safetensors").read_bytes() for name in "cd"]
    assert models[0] == models[1]


def test_it_has_every_setting_of_a_network() -> None:
    """It is compared, or refused as init is, and never ignored."""
    of_networks = {
        n for n in NetworkSettings.__annotations__ if ROWS[n].panel == NETWORK
    }
    ignored = of_networks - {*described(Network([4, 3, 2]))} - {"init"}
    assert not ignored, "training/origin.py, or cli/begin.py _check_origin"


def test_it_is_what_python_does_with_a_trained_network(
    done: Run, old_run: Path, cwd: Path
) -> None:
    options = "--epochs", "2", "--optimizer", "adam", "--backend", "numpy", "--quiet"
    done("train", "--from", old_run, *options, "--out", "b")
    first, data = Network.load(old_run), nnx.load(cwd / "squares")
    drawn = first.layers[0].weight.copy()
    nnx.train(first, data, out=cwd / "c", epochs=2, optimizer="adam", backend="numpy")
    models = [(cwd / name / "model.safetensors").read_bytes() for name in "bc"]
    assert models[0] == models[1]
    assert (first.layers[0].weight == drawn).all()


def test_it_goes_on_without_the_run_that_it_began_with(
    done: Run, run: Run, tanh: Path, cwd: Path
) -> None:
    begin = "train", "--from", tanh, "--quiet", "--backend", "numpy"
    run(*begin, "--epochs", "1", "--out", "b")
    run(*begin, "--epochs", "2", "--out", "whole")
    shutil.rmtree(tanh)
    done("train", "--out", "b", "--resume", "--epochs", "2", "--quiet")
    models = [(cwd / n / "model.safetensors").read_bytes() for n in ("b", "whole")]
    assert models[0] == models[1]
    assert config(cwd / "b") == config(cwd / "whole")


def test_python_leaves_pixels_as_the_network_has_them(tanh: Path, cwd: Path) -> None:
    """Weights learnt of 0 to 255 mean nothing on 0 to 1."""
    network, data = Network.load(tanh), nnx.load(cwd / "squares")
    result = nnx.train(network, data, epochs=1, learning_rate=1e-12)
    assert result.network.pixels == "raw"
    assert result.test_loss == pytest.approx(nnx.evaluate(network, data).loss)
    assert nnx.train(network, data, epochs=1, pixels="unit").network.pixels == "unit"


# What is asked for beside --from tanh.
UNFIT = [
    ("--hidden 6", "hidden of the network in {tanh} is 6,5, and not 6: leave hi"),
    ("--activation tanh", "is tanh,relu, and not tanh: leave activation out"),
    ("--dtype float32", "is float64, and not float32: leave dtype out, or begin"),
    ("--pixels unit", "is raw, and not unit: leave pixels out, or begin without"),
    ("--preset quick", "hidden of the network in {tanh} is 6,5, and not 128: lea"),
    ("--init he", "--init draws new weights, --from has its own: not both"),
    ("--resume --out tanh", "--from starts a new run, --resume continues one"),
    ("--out tanh", "tanh: is the run given by --from; choose another --out"),
    ("--from ~/tanh --out tanh --overwrite", "the run given by --from; choose another"),
    ("--out ./tanh --overwrite", "is the run given by --from; choose another --out"),
    ("digits", "digits does not fit the network: features, classes, brightest"),
    ("--dataset four", "four does not fit the network: features, classes, bright"),
    ("--dataset nowhere", "nowhere: neither a data set nor a path"),
]


def test_the_model_of_a_run_that_it_would_replace(refused: Refused, tanh: Path) -> None:
    """Until the first checkpoint, nothing would be left of the network."""
    model = tanh / "model.safetensors"
    says = ("tanh: is the run given by --from; choose another --out",)
    refused("train", "--from", model, "--out", "tanh", "--overwrite", says=says)
    assert Network.load(model).sizes[1:3] == (6, 5)


def test_what_does_not_fit(refused: Refused, tanh: Path, cwd: Path) -> None:
    idx_folder(cwd / "four")
    labels = cwd / "four" / "train-labels-idx1-ubyte"
    labels.write_bytes(labels.read_bytes()[:-1] + b"\3")
    for words, says in UNFIT:
        train, says = ("train", "--from", tanh, *words.split()), says.format(tanh=tanh)
        refused(*train, says=(says,), env={"HOME": str(cwd)})


def test_networks_that_are_not_there(refused: Refused, done: Run, tanh: Path) -> None:
    refused("train", "--from", "nowhere", says=("nowhere: no such file; give a run's",))
    refused("train", "--from", "squares", says=("holds no model.safetensors and no c",))
    (tanh / "config.toml").unlink()
    refused(
        "train", "--from", tanh, says=("no config.toml to name the data; give --d",)
    )
    (tanh / "config.toml").write_text("of = 'another program'")
    done("train", "squares", "--from", tanh, *STILL, "--out", "b")


def test_options_that_say_the_same(done: Run, tanh: Path, cwd: Path) -> None:
    done("train", "squares", "--from", tanh, *OWN, *STILL, "--out", "b")
    assert same(cwd / "b", tanh)


def test_a_table_s_network_learns_from_another_table(
    done: Run, refused: Refused, cwd: Path
) -> None:
    """Which is read as its own was, needs no target, and outlives the first."""
    rows = [f"{i % 7},{('Bern', 'Oslo')[i % 2]},{i % 7 * 5 + i / 9}" for i in range(80)]
    new = ["more,price,city,size", *(f"x,{i},Oslo,9" for i in range(30))]
    (cwd / "old.csv").write_text("\n".join(["size,city,price", *rows]))
    (cwd / "new.csv").write_text("\n".join(new))
    done("train", "old.csv", "--target", "price", *STILL, "--out", "a")
    ran = done("train", "new.csv", "--from", "a", *STILL, "--out", "b", "--json")
    one, other = Network.load(cwd / "a"), Network.load(cwd / "b")
    assert (one.columns, one.targets) == (other.columns, other.targets)
    assert same(cwd / "a", cwd / "b")
    assert config(cwd / "b")["target"] == ["price"]
    tested = nnx.evaluate(one, nnx.load(cwd / "new.csv", like=one))
    found = json.loads(ran.stdout)
    assert (found["test_loss"], tested.images) == (pytest.approx(tested.loss), 3)
    done("train", "--config", "b/config.toml", "--out", "c", "--quiet")
    assert same(cwd / "a", cwd / "c")
    (cwd / "alone").mkdir()
    shutil.copy(cwd / "a" / "model.safetensors", cwd / "alone")
    for option, value, origin in (
        ("standardize", "none", "a"),
        ("drop", "more", "a"),
        ("drop", "more", "alone"),
    ):
        says = f"{option} comes with the network in {cwd / origin}: leave {option} out"
        told = "train", "new.csv", "--from", origin, f"--{option}", value
        refused(*told, says=(says,))
    told = "train", "--dataset", "new.csv", "--from", "a"
    says = ("new.csv: the network predicts price, not size",)
    refused(*told, "--target", "size", says=says)
    says = ("digits: the network's columns need a table in a file",)
    refused(*told, "--dataset", "digits", says=says)
    done("train", "new.csv", "--from", "alone", *STILL, "--out", "d")
    assert same(cwd / "a", cwd / "d")
    shutil.rmtree(cwd / "a")
    done("train", "--out", "b", "--resume", "--epochs", "2", "--quiet")
    says = "the run was trained on this table; tested on its 3 test rows alone"
    for more, word in ((), ""), (("--dataset", "new.csv"), says):
        ran = done("evaluate", "b", *more, "--json")
        assert json.loads(ran.stdout)["images"] == 3
        assert (word in ran.stderr, "differs" in ran.stderr) == (True, False)


def test_the_classes_may_be_in_a_column_of_another_name(done: Run, cwd: Path) -> None:
    """The network does not know their column's name; in memory it is often none."""
    x = np.arange(60.0).reshape(30, 2)
    first = nnx.dataset(x, np.arange(30) % 2, scale="standard")
    nnx.train(nnx.Network([2, 2]), first, epochs=1, out=cwd / "a")
    rows = [f"{i},{i % 2},{i}" for i in range(30)]
    (cwd / "new.csv").write_text("\n".join(["x0,kind,x1", *rows]))
    train = "train", "new.csv", "--from", "a", "--target", "kind", *STILL
    done(*train, "--out", "b")
    assert same(cwd / "a", cwd / "b")
    assert config(cwd / "b")["target"] == ["kind"]
