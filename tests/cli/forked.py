"""`nnx` in a copy of a process that has imported it already.

A command in a process of its own spends two thirds of its time on imports. Run as a
program, this module is the process that is copied: for each request, a line of JSON on
stdin, it forks, and the child becomes `nnx` with the request's arguments, folder,
variables and outputs. The answer is a line with the exit status. This does not show
what a command does at start-up and with its descriptors; `test_programs.py` runs every
command both ways.
"""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from importlib import import_module
from io import BufferedWriter, FileIO, TextIOWrapper
from pathlib import Path
from typing import Any, NoReturn

LIBRARIES = "numpy", "numba", "PIL.Image", "safetensors.numpy"


class Forks:
    """The process that forks; variables: its environment's."""

    def __init__(self, variables: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            env=variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )

    def run(
        self, args: list[str], cwd: Path, env: dict[str, str], timeout: int = 120
    ) -> subprocess.CompletedProcess[str]:
        """Return what `nnx` with these arguments printed, and its status."""
        outputs = [cwd.parent / name for name in ("stdout", "stderr")]
        request = [args, str(cwd), env, [*map(str, outputs)], timeout]
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        status = int(self._process.stdout.readline())
        texts = [path.read_text("utf-8", "surrogateescape") for path in outputs]
        return subprocess.CompletedProcess(args, status, *texts)

    def stop(self) -> None:
        """End the process."""
        self._process.communicate()


def become(
    args: list[str], cwd: str, env: dict[str, str], outputs: list[str], timeout: int
) -> NoReturn:
    """Be `nnx` with these arguments, in this folder, until it ends."""
    from nnx.cli.main import main

    signal.alarm(timeout)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    for number, path in enumerate([os.devnull, *outputs]):
        flags = os.O_RDWR | os.O_CREAT | (os.O_TRUNC if number else 0)
        opened = os.open(path, flags, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    encoding, errors = env["PYTHONIOENCODING"].split(":")
    sys.stdout, sys.stderr = (
        TextIOWrapper(BufferedWriter(FileIO(number, "w")), encoding, rule)
        for number, rule in [(1, errors), (2, "backslashreplace")]
    )
    sys.argv = ["nnx", *args]
    sys.path[:1] = env.get("PYTHONPATH", cwd).split(os.pathsep)
    status = 1
    try:
        main()
    except SystemExit as ended:
        status = ended.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        for stream in sys.stdout, sys.stderr:
            stream.flush()
        os._exit(status)


def load_all() -> None:
    """Import what commands need."""
    import nnx
    from nnx import blas

    blas.choose()
    for name in LIBRARIES:
        import_module(name)
    with suppress(ImportError):  # for the command to tell
        for name in nnx.__all__:
            getattr(nnx, name)
        import_module("nnx.cli.main")


def serve() -> None:
    """Answer requests until stdin ends."""
    load_all()
    for line in sys.stdin:
        request: list[Any] = json.loads(line)
        child = os.fork()
        if child == 0:
            become(*request)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    serve()
