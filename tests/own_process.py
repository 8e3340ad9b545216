"""Python code in a process of its own."""

import os
import subprocess
import sys


def printed(code: str, *words: str, **variables: str) -> str:
    """Return what code prints in a process that has to end well and without a warning.

    words: the program's arguments; variables: what its environment has besides ours

    Modules of the working folder are found only if PYTHONPATH names it.
    """
    ran = subprocess.run(
        [sys.executable, "-P", "-W", "error", "-c", code, *words],
        env=os.environ | variables,
        capture_output=True,
        text=True,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout
