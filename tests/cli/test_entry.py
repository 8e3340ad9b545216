"""The program's entry point, `nnx.__main__`."""

import subprocess
import sys


def test_no_search_for_garbage_among_what_a_command_imports() -> None:
    """Neither all objects while importing, nor what is left when it ends."""
    code = (
        "import atexit, gc\n"
        "searched = []\n"
        "gc.callbacks.append(lambda when, of: searched.append(of['generation']))\n"
        "atexit.register(lambda: print(2 in searched))\n"
        "atexit.register(lambda: print(gc.get_freeze_count() > 10_000))\n"
        "from nnx.__main__ import main; main()"
    )
    command = [sys.executable, "-c", code, "--help"]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ran.stdout.endswith("\nTrue\nFalse\n")
