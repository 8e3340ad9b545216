"""`nnx.train` as it is called: names of settings, progress, and the result in print."""

import gc
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnx
from nnx import Network, train
from nnx.backend import Backend
from nnx.data.dataset import Dataset, Split
from nnx.errors import InputError
from nnx.settings import ROWS
from nnx.settings.other_names import OF_TRAIN
from nnx.settings.table import TRAINING
from nnx.training import loop
from nnx.training.folder import load_settings
from nnx.training.plan import Progress
from nnx.training.progress import shown
from nnx.training.progress import words as bar

SETTINGS = {"epochs": 3, "batch_size": 16, "learning_rate": 0.3, "seed": 5}
STEPS = 10


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("lr", "no setting is called 'lr'; did you mean learning_rate?"),
        ("epoch", "no setting is called 'epoch'; did you mean epochs?"),
        ("drop_out", "no setting is called 'drop_out'; did you mean dropout?"),
        ("qwertz", "no setting is called 'qwertz'; nnx.train takes epochs, batch_si"),
        ("averaging", "averaging is now called ema_decay"),
        (
            "validation",
            "validation must be a pair (x, y), not 3; for a share of the data",
        ),
        ("early_stopping", "early_stopping is now called patience"),
        (
            "threads",
            'nnx.train takes no threads: give backend=nnx.find("numba", threads=…)',
        ),
        ("hidden", "nnx.train takes no hidden: give the widths to nnx.Network, as in"),
        ("layers", "nnx.train takes no layers: give the widths to nnx.Network, as in"),
        ("dtype", "nnx.train takes no dtype: give it to nnx.Network"),
        ("task", "nnx.train takes no task: give it to nnx.dataset or nnx.load"),
        ("loss", "nnx.train takes no loss: give the task to nnx.dataset or nnx.load"),
        ("cost", "nnx.train takes no cost: give the task to nnx.dataset or nnx.load"),
        ("lmbda", "no setting is called 'lmbda'; did you mean l2?"),
        ("metrics", "nnx.train takes no metrics: give none: the result has the loss"),
        ("preset", "'preset' is not a setting: give the command --preset"),
        ("validation_data", "nnx.train takes no validation_data: give validation, as"),
        ("device", "nnx.train takes no device: give backend=nnx.find(name, device=…)"),
        ("verbose", "nnx.train takes no verbose: give progress=True"),
        ("n_jobs", 'nnx.train takes no n_jobs: give backend=nnx.find("numba", thr'),
        ("precision", "nnx.train takes no precision: give backend=nnx.find(name, pr"),
        ("callbacks", "nnx.train takes no callbacks: give a function as on_progress"),
        ("nesterov", "no setting is called 'nesterov'; did you mean optimizer?"),
        ("dataset", "nnx.train takes no dataset: give the data set, or its name, af"),
    ],
)
def test_a_name_that_is_no_setting_of_training(
    name: str, words: str, network: Network, data: Dataset, tmp_path: Path
) -> None:
    """As the command says it of a file, and before anything is made."""
    for out in None, tmp_path / "run":
        with pytest.raises(InputError) as refused:
            train(network, data, out=out, **{name: 3})
        assert str(refused.value).startswith(words)
        assert "\n" not in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_of_every_setting_that_train_does_not_take_it_is_said_what_does() -> None:
    missing = {*ROWS} - {*TRAINING} - {"backend", *OF_TRAIN}
    assert not missing, f"settings/other_names.py: OF_TRAIN lacks {missing}"
    assert not {*OF_TRAIN} & {*TRAINING}


def test_a_name_that_is_no_setting_is_refused_before_data_are_read(
    network: Network, tmp_path: Path
) -> None:
    (tmp_path / "table.csv").write_text("a,b\n1,x\n2,y\n")
    for path in tmp_path / "table.csv", "nowhere.csv":
        with pytest.raises(InputError, match="takes no target: give it to nnx.dataset"):
            train(network, path, target="b")  # type: ignore[call-arg]


def test_a_value_that_a_setting_may_not_have(network: Network, data: Dataset) -> None:
    with pytest.raises(InputError, match="epochs must be an integer from 1 to .*not 0"):
        train(network, data, epochs=0)


def test_progress_is_what_the_command_shows(
    network: Network,
    data: Dataset,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(loop, "UPDATE_SECONDS", 0.0)
    seen: list[Progress] = []
    with shown(quiet=False) as show:

        def on_progress(progress: Progress) -> None:
            seen.append(progress)
            show(progress)

        result = train(network, data, on_progress=on_progress, **SETTINGS)
    assert len(seen) == 3 * STEPS
    assert {progress.total_epochs for progress in seen} == {3}
    assert [progress.epochs * STEPS for progress in seen] == pytest.approx(
        range(1, 3 * STEPS + 1)
    )
    assert all(0 < progress.loss < 5 for progress in seen)
    assert all(0 <= progress.score <= 1 for progress in seen)
    assert all(progress.images_per_second > 0 for progress in seen)
    assert [len(progress.position.log) for progress in seen] == [
        i // STEPS for i in range(1, 3 * STEPS + 1)
    ]
    ends = [progress for progress in seen if progress.epoch_ended]
    assert [(end.loss, end.score) for end in ends] == [
        (row.train_loss, row.train_score) for row in result.log
    ]
    lines = capsys.readouterr().err.splitlines()
    assert [line.replace(" %", "%") for line in lines] == [
        f"epoch {row.epoch}/3  train loss {row.train_loss:.4f} accuracy "
        f"{row.train_score:.2%}  test loss {row.test_loss:.4f} accuracy "
        f"{row.test_score:.2%}  {end.images_per_second:,.0f} images/s"
        for row, end in zip(result.log, ends, strict=True)
    ]


@pytest.mark.parametrize(
    ("fraction", "part"), [(0.0, "test"), (0.2, "validation")], ids=["test", "held out"]
)
@pytest.mark.parametrize(
    ("is_table", "metric", "samples"),
    [(False, "accuracy", "images/s"), (True, "R²", "rows/s")],
    ids=["images", "table"],
)
def test_the_bar_knows_what_is_measured_before_an_epoch_has_ended(
    data: Dataset,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    is_table: bool,
    metric: str,
    samples: str,
    fraction: float,
    part: str,
) -> None:
    monkeypatch.setattr(loop, "UPDATE_SECONDS", 0.0)
    if is_table:
        x = np.random.default_rng(0).normal(size=(120, 4))
        data = nnx.dataset(x, x @ [1.0, 2.0, 3.0, 4.0], scale="standard")
    seen = list[Progress]()
    network = Network([data.train.images.shape[1], 5, data.outputs])
    how = SETTINGS | {"validation_fraction": fraction, "progress": True}
    result = train(network, data, on_progress=seen.append, **how)
    bars = [" ".join(bar(progress, 200)) for progress in seen]
    score = result.log[-1].monitored[1]
    last = f"{score:.4f}" if is_table else f"{100 * score:.2f} %"
    assert f" · {part} {metric}       – · " in bars[0]
    assert f" · {part} {metric} {last:>7} · " in bars[-1]
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    for text in (*bars, *lines, repr(result).splitlines()[0]):
        assert text.endswith(f" {samples}")


def test_a_result_in_print(network: Network, data: Dataset) -> None:
    result = train(network, data, **SETTINGS)
    first, sizes, training, validation, test = repr(result).splitlines()
    assert first.startswith(f"Result of 3 epochs, in {result.seconds:.2f} s, ")
    assert first.endswith(" images/s")
    assert sizes == "  network     206 parameters, 25-7-3"
    assert training.split() == [
        *("training", "accuracy", f"{100 * result.train_accuracy:.2f}", "%,"),
        *("loss", f"{result.train_loss:.4f}"),
    ]
    assert validation.split() == ["validation", "no", "validation", "set"]
    assert test.split()[2] == f"{100 * result.test_accuracy:.2f}"


def test_progress_and_evaluation_in_print(
    network: Network, data: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    """`on_progress=print` is a line at a time, and not the weights."""
    result = train(network, data, on_progress=print, **SETTINGS)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) >= 3
    assert all(line.startswith("Progress: ") for line in lines)
    row = result.log[-1]
    assert lines[-1].startswith(
        f"Progress: 3.00 of 3 epochs, loss {row.train_loss:.4f}, accuracy "
        f"{100 * row.train_score:.2f} %, "
    )
    found = nnx.evaluate(result.network, data)
    assert repr(found) == (
        f"Evaluation on {found.images} samples: accuracy {100 * found.score:.2f} %, "
        f"loss {found.loss:.4f}"
    )
    x = np.random.default_rng(0).random((90, 2))
    values = nnx.dataset(x, np.stack([x[:, 0], 9 - x[:, 1]], axis=1))
    fit = train(Network([2, 2], init="glorot"), values, epochs=9)
    assert repr(nnx.evaluate(fit.network, values)).endswith(
        repr(fit).splitlines()[-1].removeprefix("  test        R²")
    )


def test_a_callback_that_returns_nothing_does_not_stop(data: Dataset) -> None:
    def watch() -> None: ...

    network = Network([25, 3])
    assert len(train(network, data, epochs=2, should_stop=watch).log) == 2  # type: ignore[arg-type]


def test_a_result_in_print_is_five_short_lines_of_any_run(data: Dataset) -> None:
    network = Network([25, *[100] * 40, 3], "tanh")
    options = {"validation_fraction": 0.2, "patience": 1, "learning_rate": 1e-30}
    early = train(network, data, epochs=9, **options)
    stopped = train(network, data, should_stop=lambda: True, **options)
    assert "early, weights of epoch 1" in repr(early)
    assert ", stopped" in repr(stopped)
    long = early._replace(
        log=early.log * 10**5, best_epoch=10**6, seconds=1e7, images_per_second=1e9
    )
    for result in early, stopped, long:
        lines = repr(result).splitlines()
        assert len(lines) == 5
        assert max(map(len, lines)) <= 100
        assert "validation  accuracy " in lines[3]


def test_a_trained_network_keeps_neither_data_nor_the_run_s_state(
    network: Network, data: Dataset, backend: Backend
) -> None:
    """A set may be gigabytes, and a program may train many networks on many sets."""
    own = data._replace(train=Split(data.train.images.copy(), data.train.labels))
    known = [weakref.ref(own.train.images)]

    def know(progress: Progress) -> None:
        known.append(weakref.ref(progress.position.state.layers[0].weight))

    result = train(network, own, backend=backend, on_progress=know, epochs=2)
    assert len(known) > 1
    del own
    gc.collect()
    assert all(each() is None for each in known)
    assert result.test_accuracy > 0.3


def test_a_resumed_run_has_the_folder_s_settings(
    network: Network, data: Dataset, tmp_path: Path
) -> None:
    settings: dict[str, Any] = SETTINGS | {
        "optimizer": "adam", "schedule": "cosine:warmup=1", "augment": "shift=1",
        "momentum_schedule": "linear:to=0.5", "class_weights": "balanced",
        "batch_norm": True, "ema_decay": 0.9, "validation_fraction": 0.2, "patience": 2,
    }  # fmt: skip
    whole = train(network, data, out=tmp_path / "whole", **settings)
    out = tmp_path / "parts"
    train(network, data, out=out, should_stop=lambda: True, **settings)
    written = load_settings(out)
    rest = train(network, data, out=out, resume=True)
    assert load_settings(out) == written == load_settings(tmp_path / "whole")
    assert [row[:-2] for row in rest.log] == [row[:-2] for row in whole.log]
    # One that is given goes before the folder's, and another optimizer's rates go.
    for given, words in (
        ({"batch_size": 8}, r"differs in batch_size \(was 16, now 8\)$"),
        ({"patience": 3}, r"differs in patience \(was 2, now 3\)$"),
        (
            {"optimizer": "sgd"},
            r"differs in optimizer \(was adam, now sgd\), .*momentum \(was 0.9, now 0",
        ),
    ):
        with pytest.raises(InputError, match=words) as refused:
            train(network, data, out=out, resume=True, **given)
        assert "\n" not in str(refused.value)


def test_a_resumed_run_goes_on_on_its_own_backend(
    network: Network, data: Dataset, tmp_path: Path
) -> None:
    """A short run is NumPy's, unless it was begun elsewhere."""
    train(network, data, backend="strict", out=tmp_path, epochs=1)
    train(network, data, out=tmp_path, resume=True, epochs=2)
    assert load_settings(tmp_path)["backend"] == "strict"
    train(network, data, out=tmp_path, resume=True, epochs=3, backend="numpy")
    assert load_settings(tmp_path)["backend"] == "numpy"


def test_a_resumed_run_says_where_its_data_are_now(tmp_path: Path) -> None:
    table = "label,a,b,c\n" + "".join(f"{i % 2},{20 * i},0,255\n" for i in range(12))
    (tmp_path / "first.csv").write_text(table)
    network, out = Network([3, 2]), tmp_path / "run"
    train(network, nnx.load(tmp_path / "first.csv"), out=out, epochs=1)
    assert load_settings(out)["dataset"] == str(tmp_path / "first.csv")
    (tmp_path / "first.csv").rename(tmp_path / "second.csv")
    moved = nnx.load(tmp_path / "second.csv")
    train(network, moved, out=out, resume=True, epochs=2)
    assert load_settings(out)["dataset"] == str(tmp_path / "second.csv")
    # No file has them, but the one that had them has them still.
    in_memory = nnx.Dataset(*moved[:6])
    train(network, in_memory, out=out, resume=True, epochs=3)
    assert load_settings(out)["dataset"] == str(tmp_path / "second.csv")


def test_a_folder_is_needed_to_resume(network: Network, data: Dataset) -> None:
    with pytest.raises(InputError, match="resume needs the folder of a run: give out"):
        train(network, data, resume=True)
