"""How each part of the program responds to a signal."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SENT = "signal.raise_signal(signal.SIGTERM)"
STOPPED = 143, "nnx: stopped\n"
AFTER = f"""
import signal
from nnx.cli import signals
class Dies:
    def __del__(self): {SENT}
def stopped(work):
    try:
        with signals.raised():
            work()
    except signals.StoppedError as stopped:
        print("unwound")
        return signals.EXIT[stopped.number]
"""
PARTS = {
    "before all is imported": (f"signals.begin(); {SENT}", STOPPED),
    "a command": (f"exit(stopped(lambda: {SENT}))", (143, "unwound\n")),
    "in what cannot raise": ("stopped(lambda: [Dies()].clear())", STOPPED),
    "in an import": ("stopped(lambda: __import__('sends'))", STOPPED),
    "twice": (
        f"import sys\nif stopped(lambda: {SENT}): {SENT}",
        (143, "unwound\nnnx: stopped\n"),
    ),
    "while kernels are compiled": (
        f"with signals.at_once(lambda: print('tidy')): {SENT}",
        (143, "tidy\nnnx: stopped\n"),
    ),
    "in compiling": (
        "from nnx.cli import progress\n"
        f"stopped(lambda: progress.compiled(({SENT} for _ in '1'), True))",
        STOPPED,
    ),
    "tidied in vain": (f"with signals.at_once(lambda: 1 / 0): {SENT}", STOPPED),
    "after a command": (f"stopped(lambda: None); {SENT}", STOPPED),
    "at the end": (
        f"import atexit; signals.over(); atexit.register(lambda: {SENT}); {SENT}",
        (0, ""),
    ),
    "beside what else is lost": (
        "import sys; sys.__unraisablehook__ = lambda lost: print(lost.exc_value)\n"
        "class Fails:\n"
        "    def __del__(self): raise ValueError('lost')\n"
        "stopped(lambda: [Fails()].clear())",
        (0, "lost\n"),
    ),
    "with a closed stderr": (
        f"import os; os.close(2); signals.begin(); {SENT}",
        (143, ""),
    ),
    "with no stderr": (
        f"import os, sys; os.close(2); sys.stderr = None; signals.begin(); {SENT}",
        (143, ""),
    ),
}


@pytest.mark.parametrize("part", PARTS)
def test_a_signal_is_answered_in_one_line(part: str, tmp_path: Path) -> None:
    code, (status, said) = PARTS[part]
    (tmp_path / "sends.py").write_text(f"import signal; {SENT}")
    ran = subprocess.run(
        [
            sys.executable,
            "-u",
            "-c",
            f"import sys; sys.path.append('.')\n{AFTER}{code}",
        ],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert (ran.returncode, ran.stdout) == (status, said)


def test_a_signal_while_other_processes_are_waited_for() -> None:
    """Joining them is one call in C, for ever if one of them cannot start."""
    code = (
        "import sys\n"
        "from collections import deque\n"
        "from itertools import repeat\n"
        "import nnx.communicator\n"
        "from nnx.__main__ import main\n"
        "def joined(name):\n"
        "    print('joining', flush=True)\n"
        "    deque(repeat(0), maxlen=0)\n"
        "nnx.communicator.find = joined\n"
        "sys.argv = ['nnx', 'train', '--distributed', 'mpi']\n"
        "main()\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=-1) as waiting:
        assert waiting.stdout is not None
        waiting.stdout.readline()
        waiting.terminate()
        try:
            assert waiting.wait(20) == -signal.SIGTERM
        finally:
            waiting.kill()


def test_ctrl_c_while_what_answers_it_is_imported() -> None:
    """From the program's first line on, no answer is Python's, with its traceback."""
    code = (
        "import sys, _signal\n"
        "class Sends:\n"
        "    def find_spec(name, path, target=None):\n"
        "        if name == 'nnx.cli.signals': _signal.raise_signal(_signal.SIGINT)\n"
        "_signal.signal(_signal.SIGINT, _signal.default_int_handler)\n"
        "sys.meta_path.insert(0, Sends)\n"
        "from nnx.__main__ import main; main()"
    )
    command = [sys.executable, "-c", code]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (-signal.SIGINT, "")


def test_the_second_signal_in_training_is_the_system_s() -> None:
    code = f"{AFTER}\nwith signals.remembered() as got: {SENT}; print(got); {SENT}"
    ran = subprocess.run(
        [sys.executable, "-u", "-c", code], capture_output=True, text=True
    )
    assert ran.returncode == -signal.SIGTERM
    assert ran.stdout == "[15]\n"
    assert ran.stderr == "\nnnx: finishing this step and saving\n"


@pytest.mark.parametrize(
    ("terminal", "cursor"), [("xterm", "\x1b[?25h"), ("dumb", ""), ("unknown", "")]
)
def test_a_terminal_has_its_cursor_again(terminal: str, cursor: str) -> None:
    """The bar that hid it is drawn no further; and after training `begin` holds."""
    pty = pytest.importorskip("pty")
    reader, stderr = pty.openpty()
    code = f"{AFTER}\nsignals.begin()\nwith signals.remembered(): {SENT}\n{SENT}"
    command, env = [sys.executable, "-c", code], os.environ | {"TERM": terminal}
    ran = subprocess.run(command, env=env, stderr=stderr)
    os.close(stderr)
    said = os.read(reader, 1000).decode()
    os.close(reader)
    assert ran.returncode == 143
    finishing = f"{cursor}\r\nnnx: finishing this step and saving\r\n"
    assert said == f"{finishing}{cursor}nnx: stopped\r\n"
