"""Feed every parser damaged files, in processes of a gigabyte: see tests/README.md.

    python tests/fuzz/fuzzing.py --count 100000 [--only csv-table,png]

Only errors of nnx may come of one, of one line that begins with the file's name, within
a second of computing; and nothing may be run, connected to or written. What is wrong is
kept in --keep, and makes the exit status 1.
"""

import argparse
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

HANGS = 30  # seconds of computing, after which a process is ended
FORBIDDEN = (
    "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.system", "os.spawn",
    "pickle.find_class", "socket.connect", "subprocess.Popen", "ctypes.dlopen",
)  # fmt: skip
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class ForbiddenError(BaseException):
    """Something was done that a file may not have done."""


def fault_of(
    read: Callable[[Path], Any], path: Path, longest: float = 1.0
) -> tuple[str, str]:
    """Return "loaded", "refused" or "fault", and what the fault is.

    longest: seconds of computing that it may take
    """
    from nnx.errors import NnxError

    before = time.process_time()
    done, what = "loaded", ""
    try:
        read(path)
    except NnxError as error:
        done, said = "refused", str(error)
        if not said.startswith(str(path)) or "\n" in said:
            what = f"says {said[:300]!r}"
    except (Exception, ForbiddenError) as error:
        what = f"{type(error).__name__}: {str(error)[:300]}"
    took = time.process_time() - before
    if took > longest:
        what = f"took {took:.1f} s"
    return ("fault", what) if what else (done, what)


def try_some(name: str, seed: int, first: int, count: int) -> dict[str, Any]:
    """Have a parser read so many files in the working folder; tell of each fault."""
    from parsers import PARSERS

    parser = PARSERS[name]
    path = Path(f"{name}{parser.ending}").absolute()
    path.write_bytes(parser.seeds()[0])
    parser.read(path)  # so that all is imported
    room = _limit_memory()
    warnings.simplefilter("ignore")
    at = os.open("at", os.O_WRONLY | os.O_CREAT)
    _watch(path)
    tally, slowest, began = {"loaded": 0, "refused": 0, "fault": 0}, 0.0, time.time()
    for i in range(first, first + count):
        signal.setitimer(signal.ITIMER_PROF, HANGS)
        os.pwrite(at, b"%20d" % i, 0)
        data = parser.damaged(random.Random(f"{seed} {name} {i}"))
        path.write_bytes(data)
        before = time.process_time()
        done, what = fault_of(parser.read, path)
        slowest = max(slowest, time.process_time() - before)
        tally[done] += 1
        if done == "fault":
            print(json.dumps({"input": i, "fault": what}), flush=True)
            Path(f"fault-{i}").write_bytes(data)
    signal.setitimer(signal.ITIMER_PROF, 0)
    took = time.time() - began
    return tally | {"slowest": slowest, "seconds": took, "gigabytes": room}


def _limit_memory() -> float:
    """Allow a gigabyte, or half of one beside what libraries have taken already."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = max(1 << 30, pages * resource.getpagesize() + (1 << 29))
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    return most / (1 << 30)


def _watch(path: Path) -> None:
    """Have what a file may not do raise an error, from now on."""

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event in FORBIDDEN:
            raise ForbiddenError(f"{event} {args}"[:200])
        if event == "open" and args[2] & WRITING:
            if str(args[0]) == str(path) or str(args[0]).startswith("fault-"):
                return
            raise ForbiddenError(f"opened {args[0]} to write")

    sys.addaudithook(hook)


def try_all(name: str, seed: int, count: int, keep: Path) -> int:
    """Try a parser in processes that may die of it; print a line, count faults."""
    at, faults, total = 0, 0, dict[str, Any]()
    with tempfile.TemporaryDirectory(dir=_memory()) as folder:
        while at < count:
            words = ["--child", name, str(seed), str(at), str(count - at)]
            ran = subprocess.run(
                [sys.executable, __file__, *words],
                cwd=folder,
                stdout=subprocess.PIPE,
                text=True,
            )
            lines = [json.loads(line) for line in ran.stdout.splitlines()]
            if ran.returncode == 0:
                *lines, total = lines
            if ran.returncode > 0 or not Path(folder, "at").exists():
                print(f"{name}: cannot be tried: status {ran.returncode}")
                return 1
            at = int(Path(folder, "at").read_text()) + 1
            if ran.returncode:
                lines.append({"input": at - 1, "fault": f"status {ran.returncode}"})
                for path in Path(folder).glob(f"{name}*"):
                    path.rename(path.with_name(f"fault-{at - 1}"))
            for line in lines:
                faults += 1
                _keep(keep, name, folder, line)
    print(f"{name}: {count:,} inputs, {faults} faults", json.dumps(total), flush=True)
    return faults


def _keep(keep: Path, name: str, folder: str, line: dict[str, Any]) -> None:
    print(f"{name} {line['input']}: {line['fault']}", flush=True)
    keep.mkdir(exist_ok=True)
    found = Path(folder, f"fault-{line['input']}")
    if found.exists():
        (keep / f"{name}-{line['input']}").write_bytes(found.read_bytes())


def _memory() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def main() -> None:
    """Try all parsers, or those that are named."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--count", type=int, default=1000)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--only", default="")
    options.add_argument("--keep", type=Path, default=Path("fuzz-faults"))
    options.add_argument("--child", nargs=4, default=())
    given = options.parse_args()
    if given.child:
        name, *numbers = given.child
        print(json.dumps(try_some(name, *map(int, numbers))))
        return
    from parsers import PARSERS

    names = given.only.split(",") if given.only else PARSERS
    faults = sum(try_all(name, given.seed, given.count, given.keep) for name in names)
    sys.exit(faults > 0)


if __name__ == "__main__":
    main()
