"""What users type by habit: a name without its option, other programs' names."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli_files import CSV, config, idx_folder

Run = Callable[..., Any]
Refused = Callable[..., str]
TINY = "--epochs", "1", "--hidden", "5"


def test_a_data_set_without_its_option(done: Run, cwd: Path) -> None:
    (cwd / "my table.csv").write_text(CSV)
    for i, (words, name) in enumerate(
        (
            (("digits",), "digits"),
            (("digits", "--dataset", "digits"), "digits"),
            (("--epochs", "1", "my table.csv"), str(cwd / "my table.csv")),
            (("--dataset", "my table.csv"), str(cwd / "my table.csv")),
        )
    ):
        done("train", *words, *TINY, "--out", f"run {i}", "--quiet")
        assert config(cwd / f"run {i}")["dataset"] == name
    models = [(cwd / f"run {i}" / "model.safetensors").read_bytes() for i in range(4)]
    assert models[0] == models[1] != models[2] == models[3]


def test_a_data_set_goes_before_a_file_s(done: Run, cwd: Path) -> None:
    (cwd / "mine.toml").write_text('dataset = "nowhere"\n')
    done("train", "digits", "--config", "mine.toml", *TINY, "--out", "run")
    assert config(cwd / "run")["dataset"] == "digits"


def test_data_sets_that_are_refused(refused: Refused, cwd: Path) -> None:
    both = "two data sets are given, digits and --dataset mnist: give one"
    refused("train", "digits", "--dataset", "mnist", says=(both,))
    refused(
        "train",
        "quick",
        says=("quick is a preset, not a data set: nnx train --preset quick",),
    )
    refused("train", "nope", says=("nope: neither a data set nor a path; the data",))
    refused("train", "", says=("dataset must be the name of a dataset or a path",))
    (cwd / "quick").mkdir()
    refused("train", "quick", says=("quick: no data in this folder",))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--lr 0.1", "No such option: --lr (Possible options: --learning-rate)"),
        ("--lr=0.1", "No such option: --lr (Possible options: --learning-rate)"),
        ("--max-iter 3", "No such option: --max-iter (Possible options: --epochs)"),
        ("--hidden-layer-sizes 9", "(Possible options: --hidden)"),
        ("--alpha 1e-4", "(Possible options: --l2)"),
        ("--solver adam", "(Possible options: --optimizer)"),
        ("--loss mse", "(Possible options: --task)"),
        ("--label price", "(Possible options: --target)"),
        ("--gpu", "(Possible options: --backend)"),
        ("--verbose", "(Possible options: --quiet)"),
        ("--optimizer Adam", "not 'Adam': did you mean adam?"),
        ("--activation ReLU", "not 'ReLU': did you mean relu?"),
        ("--class-weights x=2", "digits has no class 'x'; it has '0', '1', "),
    ],
)
def test_names_that_are_told(words: str, says: str, refused: Refused) -> None:
    refused("train", *words.split(), says=(says,))


def test_names_that_are_taken(done: Run, cwd: Path) -> None:
    options = ["--activation", "logistic", "--init", "xavier"]
    weights = "--class-weights", "3=2,8=0.5"
    done("train", *options, *weights, *TINY, "--out", "run", "--quiet")
    made = config(cwd / "run")
    assert (made["activation"], made["init"]) == ("sigmoid", "glorot")
    assert made["class_weights"] == {"3": 2.0, "8": 0.5}


def test_data_are_listed_where_train_finds_them(done: Run, run: Run, cwd: Path) -> None:
    here = {"NNX_DATA_DIR": str(cwd / "mine")}
    for folder in cwd / "mine" / "mnist", cwd / "whole":
        idx_folder(folder)
    idx_folder(cwd / "part")[0].unlink()

    def listed(**env: str) -> tuple[dict[str, str], str]:
        ran = run("data", "list", env=env)
        assert ran.returncode == 0, ran.stderr
        lines = [line.split(maxsplit=1) for line in ran.stdout.splitlines()[2:]]
        return {line[0]: line[1] for line in lines}, ran.stderr

    fetched, said = listed()
    assert fetched["digits"].startswith("comes with nnx")
    assert fetched["mnist"].startswith("not here: nnx data fetch mnist")
    assert said.startswith("looked in ")
    assert "NNX_DATA_DIR" not in said
    named, said = listed(**here)
    assert named["mnist"].startswith(f"{cwd / 'mine' / 'mnist'} (NNX_DATA_DIR)")
    assert named["kmnist"] == fetched["kmnist"]
    assert said.startswith(f"looked in {cwd / 'mine'} (NNX_DATA_DIR), then in ")
    done("train", "mnist", *TINY, "--out", "run", env=here)
    # As train does it: not the parts of a set; and files in the folder itself.
    assert listed(NNX_DATA_DIR=str(cwd / "part"))[0] == fetched
    assert listed(NNX_DATA_DIR="nowhere")[0] == fetched
    whole, _ = listed(NNX_DATA_DIR=str(cwd / "whole"))
    assert whole["mnist"].startswith(f"{cwd / 'whole'} (NNX_DATA_DIR)")
