"""What a person at a terminal sees: no line is too wide, and none is lost."""

import os
import re
import struct
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from threading import Thread
from time import sleep
from types import SimpleNamespace
from typing import Any

import pytest

from nnx.cli import progress, show
from nnx.errors import InputError
from nnx.verify.cases import gradient_cases

pty = pytest.importorskip("pty")
fcntl = pytest.importorskip("fcntl")
termios = pytest.importorskip("termios")

Run = Callable[..., Any]
TRAIN = (
    "train",
    "--no-plots",
    "--dataset",
    "squares",
    "--out",
    "a",
    "--backend",
    "numpy",
)
# The colours and other marks that take no room; the end of a line; the bar's return.
MARK = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture
def on_terminal(run: Run) -> Callable[..., str]:
    """Run `nnx` with a terminal of so many columns, and return what it is sent."""

    def on_terminal(columns: int, *args: Any, **variables: str) -> str:
        reader, terminal = pty.openpty()
        size = struct.pack("HHHH", 40, columns, 0, 0)
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, size)
        sent: list[bytes] = []

        def read() -> None:
            with suppress(OSError):  # how a terminal ends on Linux
                while piece := os.read(reader, 1 << 16):
                    sent.append(piece)

        reading = Thread(target=read)
        reading.start()
        streams = {"capture_output": False, "stdout": terminal, "stderr": terminal}
        try:
            ran = run(*args, env={"TERM": "xterm-256color"} | variables, **streams)
        finally:
            os.close(terminal)
            reading.join()
            os.close(reader)
        assert ran.returncode == 0, sent
        return b"".join(sent).decode()

    return on_terminal


def lines_of(sent: str) -> list[str]:
    """Return every line as it was ever written, the bar's too."""
    return [MARK.sub("", line).rstrip() for line in re.split(r"[\r\n]+", sent)]


def stay(sent: str) -> list[str]:
    """Return the lines that are left in the end; a bar is erased from its line."""
    left = [""]
    for piece in re.split(r"(\r\n|\r|\n|\x1b\[2K|\x1b\[1A)", sent):
        if piece == "\x1b[2K":
            left[-1] = ""
        elif piece == "\x1b[1A":
            left.pop()
        elif piece in ("\r\n", "\n"):
            left.append("")
        elif piece != "\r":
            left[-1] += MARK.sub("", piece)
    return [line.rstrip() for line in left]


@pytest.mark.parametrize(
    ("columns", "bar"),
    [
        (60, r" *\d+/50 [━╸╺]{8,} loss \d\.\d+ val. +[\d.]+ % [\d,]+/s \d\d:\d\d"),
        (80, r"epoch .*/50 [━╸╺]{8,} loss [\d.]+ · test +[\d.]+ % · [\d,]+ images/s "),
        (120, r"epoch .*/50 [━╸╺]{20,} loss .* · test accuracy .* images/s \d\d:"),
    ],
)
def test_epochs_lines_stay_and_none_is_too_wide(
    on_terminal: Callable[..., str], old_run: Path, columns: int, bar: str
) -> None:
    part, more = "test", list[Any]()
    if columns == 60:
        part, more = "val.", ["--validation-fraction", 0.2, "--patience", 50]
    sent = on_terminal(columns, *TRAIN, "--epochs", 50, *more)
    assert max(map(len, lines_of(sent))) <= columns
    bars = [line for line in lines_of(sent) if "━" in line and "loss" in line]
    assert any(re.match(bar, line) for line in bars), bars
    left = stay(sent)
    heading = f"epoch  train loss  accuracy  {part} loss  accuracy   images/s"
    first = left.index(heading) + 1
    rows = left[first : first + 50]
    assert [int(row.split()[0]) for row in rows] == list(range(1, 51))
    assert all(re.search(r"^ +\d+ +\d\.\d{4} ", row) for row in rows)
    assert any("*" in row for row in rows) == bool(more)
    assert not any("━" in line for line in left[:first] + rows)
    assert "compiling" not in sent  # which NumPy does not


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], str]:
    """Call a function whose stderr is a terminal; return what it sent there."""

    def sent(function: Callable[[], None]) -> str:
        reader, terminal = pty.openpty()
        with open(terminal, "w") as stream:
            monkeypatch.setattr(sys, "stderr", stream)
            monkeypatch.setenv("TERM", "xterm-256color")
            function()
            print("end", file=stream, flush=True)
        received = b""
        while b"end" not in received:
            received += os.read(reader, 1 << 16)
        os.close(reader)
        return received.decode()

    return sent


@pytest.mark.parametrize(("parts", "quiet"), [(0, False), (3, False), (3, True)])
def test_a_bar_of_compiling_is_drawn_for_what_is_compiled(
    parts: int, quiet: bool, sent: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")  # so that what is not done is blank
    shares = (i / parts for i in range(parts))
    text = sent(lambda: progress.compiled(shares, quiet=quiet))
    drawn = parts > 0 and not quiet
    assert ("compiling" in text) == drawn
    assert max(line.count("━") for line in lines_of(text)) == (26 if drawn else 0)
    assert stay(text)[:2] == ["end", ""]


@pytest.mark.parametrize("soon", [0, 60])
def test_what_takes_long_is_told_of_while_it_does(
    soon: int, monkeypatch: pytest.MonkeyPatch, sent: Callable[..., str]
) -> None:
    def work() -> None:
        with progress.doing("reading [red]\a.csv"):
            sleep(0.3)
        with progress.doing("drawing", quiet=True):
            sleep(0.3)
        with suppress(InputError), progress.doing("testing"):
            raise InputError("refused")

    monkeypatch.setattr(progress, "SOON", soon)
    text = sent(work)
    assert (r"reading [red]\x07.csv …" in text) == (soon == 0)
    assert "drawing" not in text
    assert stay(text)[:2] == ["end", ""]


def test_units_are_counted_after_a_second(
    monkeypatch: pytest.MonkeyPatch, sent: Callable[..., str]
) -> None:
    def work(parts: range) -> None:
        seconds = count()  # one for each look at the clock
        clock = SimpleNamespace(monotonic=lambda: next(seconds))
        monkeypatch.setattr(progress, "time", clock)
        assert [*progress.counted(parts, int, "rows")] == [*parts]

    for parts, shown in (range(600, 601), False), (range(600, 603), True):
        text = sent(lambda parts=parts: work(parts))
        assert ("1,803 rows" in text) == shown
        assert ("rows" in text) == shown
        assert stay(text)[:2] == ["end", ""]


def test_a_remark_is_wrapped_and_plain(sent: Callable[..., str]) -> None:
    text = sent(lambda: show.remark("[red] :smile: 7\n\x1b[31m: " + "word " * 30))
    lines = lines_of(text)
    assert " ".join(lines[:3]) == r"[red] :smile: 7 \x1b[31m: " + "word " * 29 + "word"
    assert max(map(len, lines)) <= 80
    assert not MARK.search(text)


def test_cases_are_counted_on_a_terminal(on_terminal: Callable[..., str]) -> None:
    sent = on_terminal(80, "gradcheck", "--backend", "numpy")
    unit = f" of {len(gradient_cases())} cases"
    counts = [line for line in lines_of(sent) if unit in line]
    assert counts, sent
    assert not any(" cases" in line for line in stay(sent))


def test_the_end_is_a_table_and_what_lies_where(
    on_terminal: Callable[..., str], old_run: Path, cwd: Path
) -> None:
    train = *TRAIN, "--epochs", 3, "--quiet", "--tensorboard"
    sent = on_terminal(60, *train, NO_COLOR="1")
    assert not re.search(r"\x1b\[[0-9;]*[34][0-7]", sent)
    lines = [line for line in stay(sent) if line]
    assert lines[0].split() == ["accuracy", "loss"]
    assert [line.split()[0] for line in lines[2:4]] == ["training", "test"]
    assert re.match(r"epochs: 3 in \d+\.\d\d s, [\d,]+ images/s$", lines[4])
    assert lines[5] == "a"
    names = [line.split()[0] for line in lines[6:]]
    assert sorted(names) == sorted(path.name for path in (cwd / "a").iterdir())


def test_a_terminal_gets_a_bar_and_no_colour_means_none(
    on_terminal: Callable[..., str], old_run: Path
) -> None:
    sent = on_terminal(80, *TRAIN, "--epochs", 300, NO_COLOR="1")
    assert re.search(r"epoch +\d+/300 ━.* images/s", sent)
    assert not re.search(r"\x1b\[[0-9;]*[34][0-7]", sent)


def test_a_terminal_that_cannot_draw_gets_lines(
    on_terminal: Callable[..., str], old_run: Path
) -> None:
    sent = on_terminal(80, *TRAIN, "--epochs", 2, TERM="dumb")
    assert "\x1b[" not in sent.partition("accuracy   loss")[0]
    assert re.search(r"^epoch 2/2  train loss \d", sent, re.M)


def test_forty_seven_classes_are_told_by_their_mix_ups(
    done: Run, run: Run, cwd: Path
) -> None:
    rows = [f"{i % 47},{i % 47},{i % 5}" for i in range(470)]
    (cwd / "many.csv").write_text("\n".join(["label,a,b", *rows]) + "\n")
    train = "train", "--dataset", "many.csv", "--out", "a", "--epochs", 1, "--quiet"
    done(*train)
    ran = run("evaluate", "a")
    assert (ran.returncode, ran.stderr) == (0, "")
    lines = ran.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert sum(line[:1].isdigit() for line in lines) == 47 + 10
    assert any("most frequent of" in line for line in lines)
    # Of a class that nothing was taken for, no precision is known.
    assert any(re.match(r"\d+ +– +0\.00 %", line) for line in lines)
    shares = [float(line.split()[-2]) for line in lines[-10:]]
    counts = [int(line.split()[2]) for line in lines[-10:]]
    assert counts == sorted(counts, reverse=True)
    assert all(0 < share <= 100 for share in shares)


def test_without_a_terminal_all_is_as_ever(run: Run, old_run: Path) -> None:
    """Where output is no terminal, not a byte of it is other than ever."""
    ran = run(*TRAIN, "--epochs", 2)
    assert len(ran.stdout.splitlines()) == 2
    introduced, *lines = ran.stderr.splitlines()
    assert introduced.startswith("squares: 30 training and 12 test images · ")
    assert [line.split("  ")[0] for line in lines] == ["epoch 1/2", "epoch 2/2"]


def test_streams_may_be_apart(run: Run, old_run: Path) -> None:
    reader, terminal = pty.openpty()
    streams = {"capture_output": False, "stdout": subprocess.PIPE, "stderr": terminal}
    ran = run(*TRAIN, "--epochs", 1, **streams)
    os.close(terminal)
    os.close(reader)
    assert len(ran.stdout.splitlines()) == 2


def test_names_in_a_table_do_nothing_to_a_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show.table("", ["class", "\x1b[1mimages"], [["\x1b[31mred\nline", "3"]])
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert r"\x1b[31mred\nline" in out


def test_names_in_titles_and_lines_do_nothing_to_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    show.table("of \x1b[31mred", ["class"], [])
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    show.line("\n\x1b[31mred: 98 %")
    show.note("\x1b[31mred:\n98 %")
    out, err = capsys.readouterr()
    assert out.startswith("of \\x1b[31mred\n")
    assert out.endswith("\n\\x1b[31mred: 98 %\n")
    assert err == "\\x1b[31mred: 98 %\n"


def test_a_narrow_terminal_folds_the_first_column(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "20")
    show.table("", ["file", "label"], [["a" * 30, "in 2 words"]])
    lines = MARK.sub("", capsys.readouterr().out).splitlines()
    assert max(map(len, lines)) <= 20
    assert sum(line.count("a" * 7) for line in lines) > 2
    assert any("in 2 words" in line for line in lines)
