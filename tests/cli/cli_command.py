"""The real command, its arguments and its environment, as tests run it."""

import os
import sys
from pathlib import Path
from typing import Any

# A shell that runs the tests in the background has Ctrl-C ignored, nohup SIGHUP.
DEFAULT_SIGNALS = (
    "import signal as s; "
    "[s.signal(n, s.SIG_DFL) for n in (s.SIGINT, getattr(s, 'SIGHUP', s.SIGINT))]"
)
COMMAND = [sys.executable, "-m", "nnx"]


def environment(cache: Path) -> dict[str, str]:
    """Return variables with which no test finds the user's data, nor a network."""
    proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("NNX_", "PYTEST_", "COV_"))
        and name.lower() not in ("no_proxy", "http_proxy", "https_proxy")
        and name not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")
    }
    # One thread: the tests' machine may be busy, and the sums always the same.
    own = {"XDG_CACHE_HOME": str(cache), "OPENBLAS_NUM_THREADS": "1"}
    return inherited | proxies | own | {"PYTHONIOENCODING": "utf-8:surrogateescape"}


def after(first: str) -> list[str]:
    """Return a command that does something first, and then becomes `nnx`.

    The tests' process has threads, and could not safely do it between fork and exec.
    """
    code = (
        f"import os, sys; {first}; os.execv(sys.executable, {COMMAND} + sys.argv[1:])"
    )
    return [sys.executable, "-I", "-S", "-c", code]


def arguments(args: tuple[Any, ...], plots: bool = False) -> list[str]:
    """Return a command's arguments; training draws no pictures unless with plots."""
    words = [*map(str, args)]
    if words[:1] == ["train"] and not plots:
        words.insert(1, "--no-plots")
    return words
