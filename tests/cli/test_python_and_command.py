"""A run is the same run, whether Python or the command resumes it."""

import shutil
import signal
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_files import tree
from typer.testing import CliRunner

import nnx
from nnx.cli.main import app
from nnx.data.dataset import Dataset
from nnx.model_file import CHECKPOINT_NAME, MODEL_NAME, load
from nnx.training import loop
from nnx.training.run import Run as TrainingRun

Run = Callable[..., Any]
Refused = Callable[..., str]
FORMER = Path(__file__).parents[1] / "training" / "former"
# 24 of 30 images are left to train on: an epoch has 3 batches of 7, and one of 3.
SETTINGS: dict[str, Any] = {
    "epochs": 4, "batch_size": 7, "optimizer": "adam", "learning_rate": 0.01,
    "schedule": "cosine:warmup=1", "momentum_schedule": "linear:to=0.5",
    "batch_norm": True, "dropout": 0.2, "ema_decay": 0.9, "augment": "shift=1",
    "validation_fraction": 0.2, "patience": 4, "class_weights": (1.0, 2.0, 1.0),
    "label_smoothing": 0.1, "l2": 1e-3, "pixels": "raw", "seed": 5,
}  # fmt: skip
STEPS = 4 * 4
NETWORK = "--hidden", "6,5", "--activation", "tanh,relu", "--init", "lecun"
NUMPY = "--backend", "numpy"


def options() -> list[str]:
    """Return the settings as options of the command."""
    words = list[str]()
    for name, value in SETTINGS.items():
        option = "--" + name.replace("_", "-")
        if isinstance(value, tuple):
            value = ",".join(map(str, value))
        words += [option] if value is True else [option, str(value)]
    return words


def network() -> nnx.Network:
    return nnx.Network([16, 6, 5, 3], "tanh,relu", init="lecun", seed=5)


def command(*words: Any, interrupt: Callable[[], bool] = lambda: False) -> int:
    """Run `nnx train` in this process, as only there it can be stopped at a step.

    interrupt: asked at each step whether Ctrl-C should come then
    """
    follow = TrainingRun.follow

    def interrupted(run: Any, on_progress: Any, should_stop: Any) -> Any:
        def asked() -> bool:
            if interrupt():
                signal.raise_signal(signal.SIGINT)
            return bool(should_stop())

        return follow(run, on_progress, asked)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainingRun, "follow", interrupted)
        return CliRunner().invoke(app, ["train", *map(str, words)]).exit_code


def assert_same(one: Path, other: Path) -> None:
    """Demand that all but the seconds is the same in two runs' folders."""
    a, b = (load(folder / CHECKPOINT_NAME) for folder in (one, other))
    assert a.arrays.keys() == b.arrays.keys()
    for name, array in a.arrays.items():
        np.testing.assert_array_equal(array, b.arrays[name], err_msg=name)
    logs = [[row[:-2] for row in each.extra["log"]] for each in (a, b)]
    assert logs[0] == logs[1]
    bits = [(folder / MODEL_NAME).read_bytes() for folder in (one, other)]
    assert bits[0] == bits[1]


@pytest.fixture(autouse=True)
def _updates_at_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "UPDATE_SECONDS", 0.0)


@pytest.fixture
def whole(old_run: Path, cwd: Path, done: Run) -> Path:
    """The folder of the run that the command made without a stop."""
    train = "train", "--dataset", "squares", *NETWORK, *NUMPY, "--out", "whole"
    done(*train, *options(), "--quiet")
    return cwd / "whole"


@pytest.mark.parametrize("stop", [1, 4, 6, 15])
def test_begun_in_python_it_goes_on_from_the_command(
    whole: Path, cwd: Path, done: Run, stop: int
) -> None:
    steps, data = count(1), nnx.load(cwd / "squares")
    first = nnx.train(
        network(), data, backend="numpy", out=cwd / "parts",
        should_stop=lambda: next(steps) == stop, **SETTINGS,
    )  # fmt: skip
    assert first.stopped
    done("train", "--out", "parts", "--resume", "--quiet")
    assert_same(whole, cwd / "parts")
    uncut = nnx.train(network(), data, backend="numpy", **SETTINGS)
    uncut.network.save(cwd / "uncut.safetensors")
    model = (cwd / "uncut.safetensors").read_bytes()
    assert model == (whole / MODEL_NAME).read_bytes()
    # And what the command ended is done in Python too.
    again = nnx.train(network(), data, out=cwd / "parts", resume=True)
    assert not again.trained
    assert again.test_loss == uncut.test_loss


@pytest.mark.parametrize("stop", [1, 4, 6, 15])
def test_begun_by_the_command_it_goes_on_in_python(
    whole: Path, cwd: Path, stop: int
) -> None:
    steps, parts = count(1), cwd / "parts"
    begin = "--dataset", cwd / "squares", *NETWORK, *NUMPY, *options()
    words = *begin, "--out", parts, "--quiet"
    assert command(*words, interrupt=lambda: next(steps) == stop) == 130
    result = nnx.train(network(), nnx.load(cwd / "squares"), out=parts, resume=True)
    assert result.trained
    assert not result.stopped
    assert_same(whole, parts)
    written = [(folder / "config.toml").read_bytes() for folder in (whole, parts)]
    assert written[0] == written[1]


def test_it_changes_hands_at_every_step(whole: Path, cwd: Path) -> None:
    data, parts = nnx.load(cwd / "squares"), cwd / "parts"
    nnx.train(
        network(), data, backend="numpy", out=parts, should_stop=lambda: True,
        **SETTINGS,
    )  # fmt: skip
    for i in range(1, STEPS):
        if i % 2:
            words = "--out", parts, "--resume", "--quiet"
            assert command(*words, interrupt=lambda: True) == 130
        else:
            nnx.train(network(), data, out=parts, resume=True, should_stop=lambda: True)
    assert_same(whole, parts)


def test_what_is_given_in_python_goes_before_the_folder_s(
    whole: Path, cwd: Path
) -> None:
    """And what would make it another run is refused, in one line."""
    data, before = nnx.load(cwd / "squares"), tree(whole)
    for given, words in (
        ({"seed": 6}, "differs in seed (was 5, now 6)"),
        ({"dropout": 0.3, "l2": 0.0}, "differs in l2 (was 0.001, now 0.0), dropout ("),
        ({"epochs": 3}, "is already beyond epoch 4; epochs cannot be 3"),
        ({"lr": 1}, "no setting is called 'lr'; did you mean learning_rate?"),
    ):
        with pytest.raises(nnx.NnxError) as refused:
            nnx.train(network(), data, out=whole, resume=True, **given)
        assert words in str(refused.value)
        assert "\n" not in str(refused.value)
    other = nnx.Network([16, 6, 3], "tanh", seed=5)
    with pytest.raises(nnx.NnxError, match="network .was 16-6-5-3, now 16-6-3.") as one:
        nnx.train(other, data, out=whole, resume=True)
    assert "\n" not in str(one.value)
    assert tree(whole) == before


def test_data_that_were_made_in_memory(
    refused: Refused, done: Run, data: Dataset, cwd: Path
) -> None:
    """The command cannot make them, and says what can be done."""
    net, data = nnx.Network([25, 7, 3], seed=2), data._replace(classes=tuple("012"))
    nnx.train(net, data, out=cwd / "run", epochs=1)
    says = (
        "nnx: this run's data were made in memory: continue from Python, with nnx.",
        "resume=True), or give --dataset",
    )
    refused("train", "--out", "run", "--resume", says=says)
    refused("train", "--config", "run/config.toml", "--out", "other", says=says)
    refused("evaluate", "run", says=says)
    resumed = nnx.train(net, data, out=cwd / "run", resume=True, epochs=3)
    assert len(resumed.log) == 3
    # Given as a file, they are the same data, and the run goes on.
    part = {
        f"{x}_{name}": getattr(getattr(data, name), field)
        for name in ("train", "test")
        for x, field in (("x", "images"), ("y", "labels"))
    }
    np.savez(cwd / "blobs.npz", **part)
    resume = "train", "--out", "run", "--resume", "--dataset", "blobs.npz"
    done(*resume, "--epochs", 4, "--quiet")
    refused("train", "--out", "run", "--resume", "--dataset", "digits", status=2)


def test_a_validation_set_that_was_made_in_memory(
    refused: Refused, done: Run, old_run: Path, cwd: Path
) -> None:
    """Nothing is tested on it: the data that were named are tested all the same."""
    data = nnx.load(cwd / "squares")
    net, chosen = nnx.Network([16, 7, 3], seed=2), (data.test.images, data.test.labels)
    nnx.train(net, cwd / "squares", validation=chosen, out=cwd / "run", epochs=1)
    for words in ("evaluate", "run"), ("evaluate", "run", "--dataset", "squares"):
        ran = done(*words)
        assert f"on {len(data.test.labels)} images" in ran.stdout
        assert not ran.stderr
    says = ("validation set was made in memory: continue from Python, with nnx.train",)
    refused("train", "--out", "run", "--resume", says=says)
    refused("train", "--config", "run/config.toml", "--out", "other", says=says)


def test_a_table_s_run_from_another_s_network_goes_on_in_python(
    done: Run, cwd: Path
) -> None:
    """Which reads the table like the network, and so without the run's options."""
    rows = [f"{i},{i % 7},{'ab'[i % 2]}" for i in range(40)]
    (cwd / "new.csv").write_text("\n".join(["id,x,kind", *rows]))
    begin = "train", "new.csv", "--epochs", 1, "--quiet", *NUMPY
    done(*begin, "--target", "kind", "--drop", "id", "--out", "a")
    done(*begin, "--from", "a", "--out", "b")
    done(*begin, "--from", "a", "--out", "whole", "--epochs", 2)
    first = nnx.Network.load(cwd / "a")
    like = nnx.load(cwd / "new.csv", like=first, target="kind")
    nnx.train(first, like, out=cwd / "b", resume=True, epochs=2)
    for name in MODEL_NAME, "config.toml":
        assert (cwd / "b" / name).read_bytes() == (cwd / "whole" / name).read_bytes()


def test_a_table_read_like_another_in_python_is_the_run_s_own(
    done: Run, cwd: Path
) -> None:
    """Though the run's settings name no network that it was read like."""
    (cwd / "old.csv").write_text("\n".join(["x,y", *(f"{i},{i}.5" for i in range(40))]))
    (cwd / "new.csv").write_text("\n".join(["x,y", *(f"{i},7.5" for i in range(40))]))
    old = nnx.load(cwd / "old.csv", target="y")
    first = nnx.train(nnx.Network([1, 1]), old, epochs=1).network
    new = nnx.load(cwd / "new.csv", like=first)
    nnx.train(first, new, epochs=1, out=cwd / "run")
    ran = done("evaluate", "run", "--dataset", "new.csv")
    assert "trained on this table; tested on its 4 test rows alone" in ran.stderr


def test_a_run_of_the_former_nnx(
    refused: Refused, done: Run, run: Run, cwd: Path
) -> None:
    """Its network can be used; its checkpoint cannot, and it is told in one line."""
    shutil.copytree(FORMER, cwd, dirs_exist_ok=True)
    ran = run("evaluate", "run")
    assert (ran.returncode, ran.stderr) == (0, "")
    first, *_ = ran.stdout.splitlines()
    assert first == "table: test accuracy 100.00 % (loss 0.4789) on 2 images"
    says = (
        "nnx: run/checkpoint.safetensors: of a run of an earlier nnx, which cannot be",
        "the network in it can be used, and --overwrite starts anew",
    )
    for more in [], ["--epochs", 9], ["--dataset", "table.csv"], ["--patience", 1]:
        refused("train", "--out", "run", "--resume", *more, says=says)
    says = ("nnx: run: already holds a run (log.csv, checkpoint.safetensors, model",)
    refused("train", "--dataset", "table.csv", "--out", "run", says=says)
    says = ("nnx: run/config.toml: averaging is now called ema_decay",)
    refused("train", "--config", "run/config.toml", "--out", "new", says=says)
    ran = done("train", "--dataset", "table.csv", "--out", "run", "--overwrite")
