"""A run is killed at random moments, resumed each time, and ends with the same bytes.

    python tests/cli/kill.py --count 300 --backend numba

Each kill is a SIGKILL at a random moment while the run starts, trains or saves. After
it, the checkpoint must load, if there is one yet. In the end, the run must have the
model, the log and the checkpoint's arrays of one that was never stopped.
"""

import argparse
import os
import random
import re
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import numpy as np
from forked import become, load_all

import nnx
from nnx.model_file import load

# All that has a state, or draws random numbers, at once.
OPTIONS = [
    "--dataset", "digits.npz", "--hidden", "24,16", "--activation", "gelu,tanh",
    "--batch-size", "16", "--optimizer", "adam",
    "--learning-rate", "0.003", "--schedule", "plateau:patience=2,warmup=1",
    "--momentum-schedule", "linear:to=0.8", "--clip-norm", "5", "--ema-decay", "0.99",
    "--validation-fraction", "0.2", "--patience", "1000", "--batch-norm",
    "--augment", "shift=1,rotation=10", "--l1", "1e-6", "--l2", "1e-5",
    "--weight-decay", "1e-4", "--max-norm", "3", "--input-noise", "0.05",
    "--input-dropout", "0.1", "--dropout", "0.2", "--label-smoothing", "0.05",
    "--class-weights", "balanced", "--seed", "7", "--checkpoint-seconds", "0.1",
    "--keep-checkpoints", "2", "--tensorboard", "--threads", "1",
]  # fmt: skip
# For a second or two of training.
EPOCHS = {"numba": 300}
NAMES = "model.safetensors", "config.toml"


def small_digits(path: Path) -> None:
    """Write the first of the digits, for epochs of a tenth of a second."""
    data = nnx.load("digits")
    parts = {"train": (data.train, 300), "test": (data.test, 60)}
    np.savez(path, **{
        f"{axis}_{name}": array[:count]
        for name, (part, count) in parts.items()
        for axis, array in (("x", part.images.reshape(-1, 8, 8)), ("y", part.labels))
    })  # fmt: skip


def started(folder: Path, backend: str, *words: str) -> int:
    """Start the command that trains in a folder, in a copy of this process."""
    epochs = str(EPOCHS.get(backend, 12))
    own = ["--no-plots", "--out", folder.name, "--backend", backend, "--epochs", epochs]
    child = os.fork()
    if child == 0:
        outputs = [str(folder.with_suffix(end)) for end in (".out", ".err")]
        variables = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
        become(
            ["train", *OPTIONS, *own, *words],
            str(folder.parent),
            variables,
            outputs,
            600,
        )
    return child


def killed(folder: Path, backend: str, at: float, saved: bool) -> bool:
    """Go on with the run in a folder, and kill it; return whether it ended before.

    at: seconds after it was started, or, if saved, after its first checkpoint
    """
    began, path = time.time(), folder / "checkpoint.safetensors"
    child = started(folder, backend, "--resume")
    end = began + at
    while not (ended := os.waitpid(child, os.WNOHANG))[0]:
        time.sleep(0.001)
        if saved and path.exists() and path.stat().st_mtime > began:
            end, saved = time.time() + at, False
        if time.time() > end and not saved:
            os.kill(child, signal.SIGKILL)
            ended = os.waitpid(child, 0)
            break
    status = os.waitstatus_to_exitcode(ended[1])
    said = folder.with_suffix(".err").read_text()
    if status not in (0, -signal.SIGKILL) or "Traceback" in said:
        raise SystemExit(f"status {status}:\n{said}")
    return status == 0


def age(folder: Path) -> float | None:
    """Return how old the checkpoint is, in seconds; None where there is none yet.

    All that there are must load.
    """
    now, path = time.time(), folder / "checkpoint.safetensors"
    for each in folder.glob("checkpoint*.safetensors"):
        load(each)
    return now - path.stat().st_mtime if path.exists() else None


def differences(whole: Path, cut: Path) -> Iterator[str]:
    """Yield what is not the same in two folders, except for seconds."""
    for name in NAMES:
        if (whole / name).read_bytes() != (cut / name).read_bytes():
            yield name
    one, other = (load(folder / "checkpoint.safetensors") for folder in (whole, cut))
    for name, array in one.arrays.items():
        if array.tobytes() != other.arrays[name].tobytes():
            yield name
    rows = [[row[:-2] for row in each.extra["log"]] for each in (one, other)]
    if rows[0] != rows[1]:
        yield "the log"
    files = [{p.name for p in each.iterdir() if p.is_file()} for each in (whole, cut)]
    kept = {n for n in files[0] ^ files[1] if not re.match(r"checkpoint-\d+\.", n)}
    yield from kept


def main() -> None:
    """Kill so many times; print a line for each run that came to its end."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--backend", default="numpy")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    load_all()
    import_module("tensorboardX")  # which takes seconds beside PyTorch
    draw = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as place:
        whole, cut = Path(place, "whole"), Path(place, "cut")
        small_digits(Path(place, "digits.npz"))
        _, status = os.waitpid(started(whole, options.backend), 0)
        if status:
            raise SystemExit(whole.with_suffix(".err").read_text())
        seconds = load(whole / "checkpoint.safetensors").extra["seconds"]
        print(f"never stopped: {seconds:.1f} s of training", flush=True)
        kills, runs, none, oldest = 0, 0, 0, 0.0
        while kills < options.count or cut.exists():
            saved = draw.random() < 0.7
            at = draw.uniform(0, seconds / 3 if saved else seconds)
            if kills >= options.count:
                at = 600.0
            if not killed(cut, options.backend, at, saved):
                kills += 1
                seen = age(cut)
                none += seen is None
                oldest = max(oldest, (seen or 0.0) * saved)
                continue
            if found := list(differences(whole, cut)):
                raise SystemExit(f"after {kills} kills, not the same: {found}")
            shutil.rmtree(cut)
            runs += 1
            print(f"{kills} kills, {runs} runs: the same to the byte", flush=True)
    print(
        f"{kills} kills in {runs} runs; {none} came before a first checkpoint, and in "
        f"training none was older than {oldest:.2f} s"
    )


if __name__ == "__main__":
    main()
