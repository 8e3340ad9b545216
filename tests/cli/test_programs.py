"""Commands in processes of their own: they print the same as their forked copies.

The other tests run most commands in a copy of a process that has imported nnx; see
`forked`.
"""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from cli_files import tree
from PIL import Image

from nnx.cli.main import app

Run = Callable[..., Any]
SHORT = "--epochs", "1", "--hidden", "5", "--backend", "numpy"
COMMANDS = {
    "train": ("train", "--dataset", "squares", *SHORT, "--out", "new"),
    "train again": ("train", "--dataset", "squares", *SHORT, "--out", "old run"),
    "resume": ("train", "--resume", "--out", "old run", "--epochs", "2", "--json"),
    "evaluate": ("evaluate", "old run"),
    "predict": ("predict", "old run", "picture.png"),
    "plot": ("plot", "old run"),
    "export": ("export", "old run", "--html", "page.html"),
    "gradcheck": ("gradcheck", "old run", "--json"),
    "data": ("data", "list"),
    "bench": ("bench", "--backend", "nothing"),
    "serve": ("serve", "nowhere"),
    "parity": ("parity", "--nothing"),
    "info": ("info", "--nothing"),
    "import": ("import", "nowhere"),
    "sweep": ("sweep", "nowhere"),
    "help": ("train", "--help"),
    "version": ("--version",),
    "nothing": (),
}


# What no two runs have in common.
OWN = r"[\d,.]+ images/s|in [\d.]+ s|\"(seconds|images_per_second)\": [\d.e+-]+"


def test_every_command_is_here() -> None:
    every = {*typer.main.get_command(app).commands}  # type: ignore[attr-defined]
    assert not every - {word for words in COMMANDS.values() for word in words[:1]}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_program_and_its_copy_say_the_same(
    run: Run, old_run: Path, cwd: Path, tmp_path: Path, name: str
) -> None:
    Image.new("L", (20, 20), 200).save(cwd / "picture.png")
    shutil.copytree(cwd, tmp_path / "before")
    found = []
    for how in {}, {"cwd": cwd}:  # with options it is a program of its own
        ran = run(*COMMANDS[name], **how)
        texts = [re.sub(OWN, "", text) for text in (ran.stdout, ran.stderr)]
        found.append((ran.returncode, *texts, tree(cwd).keys()))
        shutil.rmtree(cwd)
        shutil.copytree(tmp_path / "before", cwd)
    assert found[0] == found[1]
