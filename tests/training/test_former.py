"""A run of the former nnx, in `former/run`, which 0.1.0 wrote before its redesign.

Its network is 4-3-3, with batch normalization, a moving average and early stopping,
trained on `former/table.csv`.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest

import nnx
from nnx.errors import InputError

FORMER = Path(__file__).with_name("former")
ROWS = [[0, 255, 120, 195], [41, 45, 255, 108], [225, 24, 58, 94]]
# What the former nnx made of them.
PROBABILITIES = [
    [0.25112000, 0.51585130, 0.23302867],
    [0.17047434, 0.08568376, 0.74384190],
    [0.56240493, 0.22229607, 0.21529901],
]


@pytest.mark.parametrize("name", ["", "model.safetensors", "checkpoint.safetensors"])
def test_the_network_predicts_what_it_did(name: str) -> None:
    network = nnx.Network.load(FORMER / "run" / name)
    assert str(network) == "4-3-3"
    assert network.activation == ("tanh", "identity")
    assert network.classes == ("0", "1", "2")
    assert network.frame == (2, 2, 255, 2)
    rows = np.array(ROWS, np.uint8)
    np.testing.assert_array_equal(network.predict(rows), [1, 2, 0])
    np.testing.assert_allclose(network.predict_proba(rows), PROBABILITIES, rtol=1e-6)


def test_it_scores_what_it_did() -> None:
    network = nnx.Network.load(FORMER / "run")
    found = nnx.evaluate(network, nnx.load(FORMER / "table.csv"))
    assert found.loss == pytest.approx(0.478931725025177, rel=1e-6)
    assert (found.accuracy, found.images) == (1.0, 2)


def test_it_is_saved_again_as_it_is(tmp_path: Path) -> None:
    network = nnx.Network.load(FORMER / "run")
    network.save(tmp_path / "again.safetensors")
    former = (FORMER / "run" / "model.safetensors").read_bytes()
    assert (tmp_path / "again.safetensors").read_bytes() == former


@pytest.mark.parametrize("settings", [{}, {"epochs": 9}])
def test_the_run_is_not_gone_on_with(settings: dict, tmp_path: Path) -> None:
    folder = shutil.copytree(FORMER / "run", tmp_path / "run")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    data = nnx.load(FORMER / "table.csv")
    network = nnx.Network([4, 3, 3], "tanh", seed=3)
    with pytest.raises(InputError) as refused:
        nnx.train(network, data, out=folder, resume=True, **settings)
    assert str(refused.value) == (
        f"{folder / 'checkpoint.safetensors'}: of a run of an earlier nnx, which "
        "cannot be resumed; the network in it can be used, and --overwrite starts "
        "anew"
    )
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    with pytest.raises(InputError, match="already holds a run"):
        nnx.train(network, data, out=folder, **settings)
    # As the former nnx.train left it, which wrote no settings.
    (folder / "config.toml").unlink()
    with pytest.raises(InputError, match="holds no run of nnx: there is no con"):
        nnx.train(network, data, out=folder, resume=True, **settings)


def test_another_run_takes_its_place(tmp_path: Path) -> None:
    folder = shutil.copytree(FORMER / "run", tmp_path / "run")
    network = nnx.Network([4, 3, 3], "tanh", seed=3)
    data = nnx.load(FORMER / "table.csv")
    nnx.train(network, data, out=folder, overwrite=True, epochs=1)
    result = nnx.train(network, data, out=folder, resume=True, epochs=2)
    assert len(result.log) == 2
