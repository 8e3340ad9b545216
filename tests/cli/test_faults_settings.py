"""Settings out of range, and folders that already hold a run."""

import csv
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli_files import config, tree

Run = Callable[..., Any]
Refused = Callable[..., str]


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--learning-rate", "nan", "a number above 0 and up to 1000, or auto, not nan"),
        ("--learning-rate", "inf", "a number above 0 and up to 1000, or auto, not inf"),
        (
            "--learning-rate",
            "-0.1",
            "a number above 0 and up to 1000, or auto, not -0.1",
        ),
        ("--learning-rate", "0", "a number above 0 and up to 1000, or auto, not 0"),
        ("--learning-rate", "1e9", "1000, or auto, not 1000000000"),
        ("--learning-rate", "fast", "up to 1000, or auto, not 'fast'"),
        ("--l2", "1", "l2 must be a number at least 0 and below 1, not 1"),
        ("--l2", "-1e-9", "l2 must be a number at least 0 and below 1, not -1e-09"),
        ("--epochs", "-1", "epochs must be an integer from 1 to 1000000, not -1"),
        ("--epochs", "0", "epochs must be an integer from 1 to 1000000, not 0"),
        ("--epochs", "1e3", "epochs must be an integer from 1 to 1000000, not 1000.0"),
        (
            "--batch-size",
            "0",
            "batch_size must be an integer from 1 to 2147483647, or full, not 0",
        ),
        ("--batch-size", "all", "an integer from 1 to 2147483647, or full, not 'all'"),
        ("--hidden", "0", "each from 1 to 100000, as in 128,64, not (0,)"),
        (
            "--hidden",
            "9,100001",
            "each from 1 to 100000, as in 128,64, not (9, 100001)",
        ),
        ("--hidden", "9;8", "each from 1 to 100000, as in 128,64, not '9;8'"),
        ("--optimizer", "adamm", "one of sgd, nesterov, adam, rmsprop, adamw, not 'a"),
        ("--optimizer", "momentum", "did you mean sgd with momentum 0.9?"),
        (
            "--momentum",
            "1",
            "momentum must be a number at least 0 and below 1, or auto, ",
        ),
        ("--momentum", "", "below 1, or auto, not ''"),
        ("--beta2", "-0.1", "beta2 must be a number at least 0 and below 1, or auto"),
        (
            "--beta2",
            "0.9",
            "beta2 is for adam and rmsprop; sgd has none: leave out 0.9",
        ),
        ("--schedule", "cosin", "not 'cosin': no schedule is called 'cosin'"),
        ("--schedule", "step:to=1", "'to' is not one of warmup, every, factor"),
        ("--schedule", "step:every", "every= is not a number"),
        ("--schedule", "step:every=0", "every must be from 0.01 to 1e+06"),
        ("--schedule", "step:factor=1,factor=1", "factor is given twice"),
        ("--schedule", "cosine:", "'' is not one of warmup, to, over"),
        ("--schedule", "plateau", "schedule plateau needs a validation set"),
        ("--schedule", "plateau:patience=1.5", "patience must be a whole number"),
        ("--momentum-schedule", "plateau", "momentum_schedule cannot be plateau"),
        ("--momentum-schedule", "linear:to=1", "must end below 1, not at to=1"),
        ("--dropout", "1", "dropout must be a number from 0 to 0.99, not 1"),
        (
            "--input-dropout",
            "nan",
            "input_dropout must be a number from 0 to 0.99, not",
        ),
        ("--max-norm", "-1", "max_norm must be 0, or a number from 0.000001 to 1000"),
        ("--clip-norm", "inf", "clip_norm must be 0, or a number from 0.000001 to 100"),
        ("--class-weights", "1,2", "class_weights has 2 numbers; squares has 3 classe"),
        ("--class-weights", "1,0,1", "class_weights must be a number from 0.000001 to"),
        (
            "--class-weights",
            "fair",
            "as in cat=2,dog=0.5, or balanced, not 'fair'",
        ),
        (
            "--validation-fraction",
            "1",
            "validation_fraction must be a number at least 0 and below 1, not 1",
        ),
        (
            "--patience",
            "3",
            "patience needs a validation set: set validation_fraction",
        ),
        (
            "--ema-decay",
            "1",
            "ema_decay must be a number at least 0 and below 1, not 1",
        ),
        ("--validation", "0.1", "No such option: --validation (Possible options: --va"),
        ("--early-stopping", "3", "--early-stopping (Possible options: --patience)"),
        ("--averaging", "0.9", "--averaging (Possible options: --ema-decay) (see nnx "),
        ("--label-smoothing", "x", "at least 0 and below 1, not 'x'"),
        ("--augment", "spin=2", "'spin' is not one of shift, rotation, scale, shear"),
        ("--seed", "-1", "seed must be an integer from 0 to 9223372036854775807"),
        ("--seed", str(2**63), "not 9223372036854775808"),
        ("--threads", "0", "--threads takes an integer from 1 to 1024, not 0"),
        ("--threads", "9" * 20, "from 1 to 1024, not 99999999999999999999"),
        ("--threads", "two", "'--threads': 'two' is not an integer"),
        ("--require-accuracy", "98", "a fraction from 0 to 1, not 98.0"),
        ("--require-accuracy", "nan", "a fraction from 0 to 1, not nan"),
        ("--activation", "Relu", "one of identity, relu, leaky_relu"),
        ("--init", "normal:-1", "normal:σ with σ > 0"),
        ("--init", "xaver", "must be one of auto, he, glorot, lecun, zeros or normal"),
        ("--dtype", "float16", "dtype must be one of float32, float64, not 'float16'"),
        ("--pixels", "half", "pixels must be one of unit, raw, not 'half'"),
        ("--backend", "abacus", "no backend is called 'abacus'; there are"),
        ("--preset", "mine", "no preset is called 'mine'; there are ciresan, dropo"),
        ("--speed", "9", "No such option"),
        ("--lr", "0.1", "--learning-rate"),
        ("--layers", "5", "--hidden) (see nnx train --help)"),
        ("--out", "", "'--out': the name of a folder is missing"),
        ("--out", "old run/log.csv", "log.csv: cannot hold a run: it is no folder"),
        ("--out", "n" * 300, "cannot hold a run: File name too long"),
    ],
    ids=lambda value: value[:20],
)
def test_27_options(
    refused: Refused, old_run: Path, option: str, value: str, says: str
) -> None:
    train = "train", "--dataset", "squares"
    refused(*train, "--out", old_run, "--overwrite", f"{option}={value}", says=(says,))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("--pixels raw --target y", "pixels = raw has no effect: t is a table"),
        (
            "--batch-norm --dropout 0.5 --hidden=",
            "no effect from batch_norm and dropout: there is no hidden layer",
        ),
        ("--hidden= --input-dropout 0.5", ""),
        ("--augment sigma=3", "augment has no effect: sigma is only for elastic, "),
        ("--augment elastic=3", ""),
        ("--schedule cosine:warmup=2", "schedule warms up to the run's end: warmup is"),
        ("--schedule cosine:warmup=2 --epochs 3", ""),
    ],
)
def test_settings_without_effect_are_told_of(
    done: Run, old_run: Path, cwd: Path, options: str, says: str
) -> None:
    (cwd / "t.csv").write_text("a,y\n" + "".join(f"{i},{i % 2}\n" for i in range(40)))
    data = "t.csv" if "target" in options else "squares"
    ran = done("train", data, "--epochs", "1", "--backend", "numpy", *options.split())
    told = [line for line in ran.stderr.splitlines() if line.startswith("nnx: ")]
    assert [line.startswith(f"nnx: {says}") for line in told] == [True] * bool(says)


def test_commands_that_are_incomplete(refused: Refused, old_run: Path) -> None:
    refused(
        "train", "a", "b", says=("unexpected extra argument(s) (b) (see nnx train",)
    )
    refused("evaluate", old_run, "a", says=("did you mean --dataset a? (see nnx eval",))
    refused("bench", "tiny", says=("did you mean --workload tiny? (see nnx",))
    batch = "--batch-norm", "--batch-size", "1"
    refused("train", *batch, says=("batch_norm needs a batch_size of 2 or more",))
    refused("trian", says=("No such command 'trian'", "(see nnx --help)"))
    refused("predict", old_run, says=("Missing argument 'FILE'",))
    refused("data", "fetch", "mnits", says=("choose from mnist, fashion-mnist",))
    refused("gradcheck", "--backend", "abacus", says=("no backend is called",))
    refused("train", "--resume", says=("--resume needs --out",))
    refused("train", "--out", old_run, "--resume", "--overwrite", says=("not both",))


def test_28_a_run_that_diverges_keeps_its_last_good_checkpoint(
    done: Run, run: Run, old_run: Path, cwd: Path
) -> None:
    # Weights grow by |1 - learning rate · l2| = 8 a step, an epoch has one step, and
    # float32 ends at 3e38.
    data = "--dataset", "squares", "--batch-size", "full", "--activation", "identity"
    wild = "--learning-rate", 10, "--l2", 0.9, "--dtype", "float32"
    ran = run("train", *data, *wild, "--epochs", 500, "--out", "wild")
    assert ran.returncode == 3
    *notes, line = ran.stderr.splitlines()
    assert all(note.startswith(("squares: ", "epoch ")) for note in notes)
    with (cwd / "wild" / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) > 10
    assert line.startswith("nnx: training diverged: the loss is ")
    assert f"in epoch {len(rows) + 1} by step 1" in line
    assert "try a learning rate below 10" in line
    assert not (cwd / "wild" / "model.safetensors").exists()
    done("evaluate", "wild")


def test_28_a_learning_rate_that_is_far_too_high(run: Run, old_run: Path) -> None:
    data = "--dataset", "squares", "--activation", "identity", "--hidden", "50,50"
    wild = "--learning-rate", 1000, "--quiet", "--epochs", 500
    ran = run("train", *data, *wild, "--out", "wild")
    assert ran.returncode == 3
    assert ran.stderr.startswith("nnx: training diverged: the loss is ")
    assert ran.stderr.count("\n") == 1


def limit(kind: str, amount: int) -> str:
    """Return the code by which a process gets less than the machine has."""
    pytest.importorskip("resource")
    return f"import resource as r; r.setrlimit(r.{kind}, ({amount}, {amount}))"


def test_34_a_file_that_cannot_be_written(
    refused: Refused, run: Run, old_run: Path
) -> None:
    resume = "train", "--out", old_run, "--resume", "--epochs", 3, "--quiet"
    says = ("old run/config.toml: cannot write ", " bytes: File too large")
    refused(*resume, status=1, says=says, first=limit("RLIMIT_FSIZE", 500))
    before = tree(old_run)
    ran = run(*resume, first=limit("RLIMIT_FSIZE", 1000))
    assert (ran.returncode, ran.stdout) == (1, "")
    (line,) = ran.stderr.splitlines()
    assert "old run/checkpoint.safetensors: cannot write " in line
    assert line.endswith(" bytes: File too large")
    # The settings alone say already for how long it is to be.
    own = {"config.toml": ""}
    assert tree(old_run) | own == before | own
    ran = run(*resume, "--json")
    assert json.loads(ran.stdout)["epochs"] == 3


@pytest.mark.skipif(sys.platform != "linux", reason="no such limit on memory")
def test_45_a_network_that_does_not_fit_in_memory(
    refused: Refused, old_run: Path
) -> None:
    train = "train", "--dataset", "squares", "--out", old_run, "--overwrite"
    says = (
        "a network of sizes [16, 90000, 90000, 3] takes 271.6 GiB to make",
        "there is at most 4.0 GiB of memory; choose smaller sizes",
    )
    memory = limit("RLIMIT_AS", 4 << 30)
    refused(*train, "--hidden", "90000,90000", status=4, says=says, first=memory)


def test_35_a_folder_that_holds_a_run(refused: Refused, old_run: Path) -> None:
    says = "old run: already holds a run", "add --resume", "--overwrite to replace"
    refused("train", "--dataset", "squares", "--out", old_run, says=says)


def test_overwrite_replaces_the_run(done: Run, old_run: Path) -> None:
    train = "train", "--dataset", "squares", "--out", old_run, "--overwrite", "--quiet"
    ran = done(*train, "--epochs", 2, "--json")
    assert json.loads(ran.stdout)["epochs"] == 2


def test_39_resuming_with_other_settings_lists_them(
    refused: Refused, done: Run, old_run: Path, cwd: Path
) -> None:
    resume = "train", "--out", old_run, "--resume", "--quiet"
    changed = "--learning-rate", 0.5, "--hidden", "7", "--init", "zeros", "--seed", 4
    says = (
        "old run/checkpoint.safetensors: is of another run, which differs in",
        "learning_rate (was 0.2, now 0.5)",
        "seed (was 0, now 4)",
        "hidden (was [5], now [7])",
        "network (was 16-5-3, now 16-7-3)",
        "init (was auto, now zeros)",
    )
    refused(*resume, *changed, says=says)
    shutil.copytree(cwd / "squares", cwd / "others")
    labels = cwd / "others" / "train-labels-idx1-ubyte"
    content = labels.read_bytes()
    labels.write_bytes(content[:-2] + content[-2:][::-1])
    says = ("checkpoint.safetensors: is of another run, which differs in data (was ",)
    refused(*resume, "--dataset", "others", says=says)
    # None of this has harmed the run, and longer is no difference.
    ran = done(*resume, "--epochs", 3, "--json")
    assert json.loads(ran.stdout)["epochs"] == 3
    assert config(old_run)["epochs"] == 3


def test_a_config_file_of_one_s_own_is_not_replaced(
    refused: Refused, done: Run, old_run: Path, cwd: Path
) -> None:
    for folder, text in ("mine", "# mine\nepochs = 2\n"), ("other", "no TOML"):
        (cwd / folder).mkdir()
        (cwd / folder / "config.toml").write_text(text)
        says = (f"{folder}: already holds a config.toml", "or add --overwrite")
        refused("train", "--dataset", "squares", "--out", folder, says=says)
    mine = "--config", "mine/config.toml", "--out", "mine", "--overwrite"
    done("train", "--dataset", "squares", *mine, "--quiet")
    assert config(cwd / "mine")["epochs"] == 2


def test_resuming_where_there_is_nothing_yet_begins(
    done: Run, run: Run, old_run: Path, cwd: Path
) -> None:
    """And says so; what a kill before the first checkpoint left are the settings."""
    (cwd / "killed").mkdir()
    shutil.copy(old_run / "config.toml", cwd / "killed")
    for words in (
        ["none", "--dataset", "squares", "--epochs", 1, "--hidden", 5],
        ["killed"],
    ):
        ran = done("train", "--resume", "--out", *words)
        says = f"nnx: nothing to resume in {words[0]} yet: starting a new run"
        assert ran.stderr.splitlines()[0] == says
        model = (cwd / words[0] / "model.safetensors").read_bytes()
        assert model == (old_run / "model.safetensors").read_bytes()
    ran = done("train", "--resume", "--out", "killed")
    assert "nnx: nothing to do: all epochs are done; --epochs 2 would" in ran.stderr
    assert "nothing to resume" not in ran.stderr
    ran = run("train", "--resume", "--out", "killed", "--epochs", 1, "--quiet")
    assert ran.stderr == ""


def test_40_resumed_on_another_backend_or_in_another_dtype(
    done: Run, old_run: Path
) -> None:
    resume = "train", "--resume", "--out", old_run, "--epochs"
    ran = done(*resume, 2, "--backend", "numpy", "--dtype", "float64")
    says = "dtype (was float32, now float64): the bits may differ from those of a run"
    assert f"{says} without this change\n" in ran.stderr
    assert 'dtype = "float64"' in (old_run / "config.toml").read_text()
    ran = done(*resume, 3)
    assert "the bits may differ" not in ran.stderr
