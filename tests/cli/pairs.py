"""Two commands begin at once in one folder: one runs, one is refused, the folder whole.

python tests/cli/pairs.py --count 20
"""

import argparse
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from nnx.model_file import load
from nnx.training.folder import load_settings

TRAIN = [sys.executable, "-m", "nnx", "train", "--backend", "numpy", "--no-plots"]
# What the two are told.
PAIRS = (
    ([], []),
    ([], ["--resume"]),
    (["--overwrite"], ["--overwrite"]),
    (["--resume"], ["--resume"]),
)
LONG = "--epochs", "1000000", "--quiet"


def started(folder: Path, words: list[str], seed: int) -> "subprocess.Popen[str]":
    """Start a run that does not end by itself; the seed tells whose the folder is."""
    own = [*words, *LONG, "--seed", str(seed), "--out", str(folder)]
    return subprocess.Popen(
        [*TRAIN, *own], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def pair(folder: Path, words: tuple[list[str], list[str]], pause: float) -> None:
    """Start two, of which one has to be refused; then stop the other, and go on."""
    seeds = (0, 0) if "--resume" in words[1] else (0, 1)
    both = [started(folder, words[0], seeds[0])]
    time.sleep(pause)
    both.append(started(folder, words[1], seeds[1]))
    while all(process.poll() is None for process in both):
        time.sleep(0.01)
    ended = [process for process in both if process.poll() is not None]
    (second,) = ended
    (first,) = (process for process in both if process is not second)
    said = second.communicate()[1]
    held = f"process {first.pid} on .* is training here; wait for it to end.*"
    assert re.fullmatch(f"nnx: {folder}: {held}\n", said), said
    assert second.returncode == 2
    while not (folder / "checkpoint.safetensors").exists():
        time.sleep(0.01)
    first.send_signal(signal.SIGTERM)
    said = first.communicate(timeout=60)[1]
    assert first.returncode == 143, said
    seed = seeds[both.index(first)]
    assert load_settings(folder)["seed"] == seed
    assert load(folder / "checkpoint.safetensors").extra["settings"]["seed"] == seed
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "config.toml", "log.csv", "log.jsonl", "checkpoint.safetensors",
        "model.safetensors",
    }, names  # fmt: skip


def main() -> None:
    """Try so many pairs, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    draw = random.Random(options.seed)
    for i in range(options.count):
        words, pause = PAIRS[i % len(PAIRS)], draw.choice([0.0, 0.0, 0.1, 0.3])
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place, "run")
            if "--overwrite" in words[0] or words[0] == ["--resume"]:
                begin = ["--epochs", "1", "--quiet", "--out", str(folder)]
                subprocess.run([*TRAIN, *begin], check=True, capture_output=True)
            pair(folder, words, pause)
        said = " and ".join(" ".join(each) or "new" for each in words)
        print(
            f"{i + 1}: {said}, {pause:g} s apart: one runs, one is refused", flush=True
        )


if __name__ == "__main__":
    main()
