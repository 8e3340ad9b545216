"""One of many processes is killed at random moments; the run ends with the same bytes.

    python tests/cli/kill_ranks.py --count 50 --backend numba

Each time, one, two or four processes resume the run, and a SIGKILL ends a random one of
them at a random moment; mpiexec then ends the others. The checkpoint must load, if
there is one yet. In the end, the run must have the model, the log and the checkpoint's
arrays of a run by one process that was never stopped.
"""

import argparse
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from kill import EPOCHS, OPTIONS, age, differences, small_digits

from nnx.model_file import load

MPIEXEC = str(Path(sys.executable).with_name("mpiexec"))
SHARDS, PROCESSES = "4", (1, 2, 4)
ENDED_SECONDS = 10.0  # within which mpiexec ends after a kill


def started(folder: Path, processes: int, backend: str) -> subprocess.Popen[bytes]:
    """Start so many processes that go on with the run in a folder."""
    words = [sys.executable, "-m", "nnx", "train", "--distributed", "mpi", "--resume"]
    words += ["--shards", SHARDS, "--no-plots", "--out", folder.name, *OPTIONS]
    words += ["--backend", backend, "--epochs", str(EPOCHS.get(backend, 12))]
    with open(folder.with_suffix(".err"), "wb") as said:
        return subprocess.Popen(
            [MPIEXEC, "-n", str(processes), *words],
            cwd=folder.parent,
            stdout=subprocess.DEVNULL,
            stderr=said,
        )


def ranks(parent: int) -> list[int]:
    """Return the processes that mpiexec, or its proxy, has started."""
    found = subprocess.run(
        ["pgrep", "-P", str(parent)], capture_output=True, text=True
    ).stdout.split()
    below = [rank for child in found for rank in ranks(int(child))]
    return below or [int(child) for child in found]


def killed(folder: Path, backend: str, at: float, draw: random.Random) -> bool:
    """Kill one of the processes after so many seconds; whether they ended before."""
    process = started(folder, draw.choice(PROCESSES), backend)
    try:
        process.wait(at)
    except subprocess.TimeoutExpired:
        for rank in draw.sample(ranks(process.pid), 1):
            subprocess.run(["kill", f"-{signal.SIGKILL.value}", str(rank)], check=False)
        process.wait(ENDED_SECONDS)
        return False
    said = folder.with_suffix(".err").read_text(errors="replace")
    if process.returncode or "Traceback" in said:
        raise SystemExit(f"status {process.returncode}:\n{said}")
    return True


def main() -> None:
    """Kill so many times; print a line for each run that came to its end."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--backend", default="numpy")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    draw = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as place:
        whole, cut = Path(place, "whole"), Path(place, "cut")
        small_digits(Path(place, "digits.npz"))
        began = time.monotonic()
        if started(whole, 1, options.backend).wait():
            raise SystemExit(whole.with_suffix(".err").read_text())
        seconds = time.monotonic() - began
        print(f"by one process, never stopped: {seconds:.1f} s", flush=True)
        kills, runs, none = 0, 0, 0
        while kills < options.count or cut.exists():
            at = draw.uniform(0, seconds) if kills < options.count else 600.0
            if not killed(cut, options.backend, at, draw):
                kills += 1
                none += age(cut) is None
                continue
            if found := list(differences(whole, cut)):
                raise SystemExit(f"after {kills} kills, not the same: {found}")
            step = load(cut / "checkpoint.safetensors").extra["step"]
            shutil.rmtree(cut)
            runs += 1
            print(f"{kills} kills, {runs} runs of {step} steps: the same", flush=True)
    print(f"{kills} kills in {runs} runs; {none} came before a first checkpoint")


if __name__ == "__main__":
    main()
