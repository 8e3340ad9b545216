"""Sixty drawn pictures, and what `nnx predict` says about each."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn_pictures import Drawn, sixty

import nnx

CONFIDENT = 0.9


@pytest.fixture
def said(run: Callable[..., Any], cwd: Path) -> list[tuple[Drawn, dict[str, Any]]]:
    """Return what the command says of each picture, by a network of 8x8 digits."""
    data = nnx.load("digits")
    network = nnx.Network([64, 64, 10])
    nnx.train(network, data, epochs=40, backend="numpy").network.save(cwd / "m")
    images = data.test.images.reshape(-1, 8, 8) / 16
    drawn = list(sixty(images, np.asarray(data.test.labels)))
    names = [f"{i}.png" for i in range(len(drawn))]
    for picture, name in zip(drawn, names, strict=True):
        picture.image.save(cwd / name)
    ran = run("predict", "m", *names, "--json", "--backend", "numpy")
    assert ran.returncode == 5, ran.stderr
    rows = json.loads(ran.stdout)["predictions"]
    return list(zip(drawn, rows, strict=True))


@pytest.mark.sweep
def test_sixty_drawn_pictures(said: list[tuple[Drawn, dict[str, Any]]]) -> None:
    assert len(said) == 60
    wrong = [
        (drawn.what, row["label"])
        for drawn, row in said
        if row["doubt"] is None
        and row["confidence"] >= CONFIDENT
        and row["label"] != str(drawn.label)
    ]
    assert wrong == []
    assert sum(row["doubt"] is None for _, row in said) >= 12
    for drawn, row in said:
        doubt = row["doubt"]
        if drawn.label is not None:
            assert doubt not in ("blank", "noise", "two shapes"), drawn.what
        elif drawn.what.startswith("blank"):
            assert doubt == "blank", drawn.what
        elif drawn.what.startswith("noise"):
            assert doubt == "noise", drawn.what
        elif drawn.what == "two digits":
            assert doubt == "two shapes"
    in_bad_light = [row["label"] == str(drawn.label) for drawn, row in said[:16]]
    assert sum(in_bad_light) >= 14
