"""Signals at every moment of a command's first and last half second.

    python tests/cli/stop_anywhere.py [--signal SIGTERM] [--again] train [WORDS]

prints how many of the commands had ended, how many each status, and how many left a
traceback; the outputs of those are printed too. The words are those after `nnx`; each
command has an empty folder to itself. With --again a second signal follows, up to a
tenth of a second after the first.
"""

import argparse
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

STEP, SPAN = 0.005, 0.5  # seconds
COMMAND = sys.executable, "-m", "nnx"


class Ended(NamedTuple):
    """How a command ended: the moment of the signal, the seconds after it, its status.

    sent: whether there was still a process to send it to
    """

    moment: float
    sent: bool
    seconds: float
    status: int
    said: str


def ended(
    words: Sequence[str],
    moment: float,
    number: int = signal.SIGINT,
    again: float | None = None,
    command: Sequence[str] = COMMAND,
) -> Ended:
    """Return how a command ended that was sent a signal at this moment.

    again: seconds after it for a second one
    """
    with TemporaryDirectory() as folder:
        # What is ignored here, as a shell in the background has it, is ignored there.
        before = signal.signal(number, signal.default_int_handler)
        began = time.monotonic()
        process = subprocess.Popen(
            [*command, *words],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        signal.signal(number, before)
        time.sleep(max(0.0, began + moment - time.monotonic()))
        sent, since = process.poll() is None, time.monotonic()
        process.send_signal(number)
        if again is not None:
            time.sleep(again)
            process.send_signal(number)
        _, said = process.communicate(timeout=120)
        seconds = time.monotonic() - since
        broken = [*Path(folder).rglob("*.part")] if again is None else []
    said += " ".join(map(str, broken))
    return Ended(moment, sent, seconds, process.returncode, said)


def duration(
    words: Sequence[str], command: Sequence[str] = COMMAND, times: int = 3
) -> float:
    """Return the seconds that a command takes that nobody stops."""
    taken = []
    for _ in range(times):
        with TemporaryDirectory() as folder:
            began = time.monotonic()
            subprocess.run(
                [*command, *words], cwd=folder, capture_output=True, check=True
            )
            taken.append(time.monotonic() - began)
    return median(taken)


def moments(total: float, step: float = STEP) -> list[float]:
    """Return the moments of the first and of the last half second."""
    steps = [i * step for i in range(round(SPAN / step))]
    return [*steps, *(max(0.0, total - SPAN) + moment for moment in steps)]


def counts(results: Iterable[Ended]) -> Counter[str]:
    """Return how often each thing was seen."""
    seen = Counter[str]()
    for each in results:
        seen["traceback" if "Traceback" in each.said else "no traceback"] += 1
        seen[f"status {each.status}" if each.sent else "had ended"] += 1
    return seen


def main() -> None:
    """Send the signals, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--signal", default="SIGINT")
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--step", type=float, default=STEP)
    parser.add_argument("--command", default=" ".join(COMMAND))
    parser.add_argument("words", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    command, number = given.command.split(), signal.Signals[given.signal]
    total = duration(given.words, command)
    print(f"nnx {' '.join(given.words)}: {total:.2f} s", flush=True)
    draw = random.Random(1)
    results = []
    for moment in moments(total, given.step):
        again = draw.uniform(0, 0.1) if given.again else None
        one = ended(given.words, moment, number, again, command)
        results.append(one)
        if "Traceback" in one.said or one.status not in (0, 128 + number):
            last = one.said.strip().splitlines()[-1:] or [""]
            print(f"{moment:.3f} s: status {one.status}: {last[0]}", flush=True)
    print(dict(sorted(counts(results).items())))
    sent = [one.seconds for one in results if one.sent]
    print(
        f"from the signal to the end: {median(sent):.3f} s, at most {max(sent):.3f} s"
    )


if __name__ == "__main__":
    main()
