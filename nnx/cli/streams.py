"""Standard output and error, which end no command by being closed or broken."""

import errno
import os
import sys
from io import BufferedWriter, RawIOBase, TextIOWrapper
from typing import Any


class Lenient(RawIOBase):
    """A stream that loses what it cannot write, and goes on.

    stream: what it stands for, which is kept, as it would close the descriptor
    forgiven: the errors at which that is lost; others are raised
    lost: whether anything was
    """

    def __init__(self, stream: TextIOWrapper, forgiven: type[OSError]) -> None:
        super().__init__()
        self._stream, self._forgiven = stream, forgiven
        # Where Python runs unbuffered, there is nothing between the two.
        self._raw: Any = getattr(stream.buffer, "raw", stream.buffer)
        self.lost = False

    def write(self, content: Any) -> int:
        """Write bytes, or part of them; return how many, all where they are lost.

        Raises:
            OSError: an error that is not forgiven, the first time
        """
        try:
            written: int | None = self._raw.write(content)
        except OSError as error:
            known, self.lost = self.lost, True
            if not (known or isinstance(error, self._forgiven) or _is_closed(error)):
                raise
            written = None
        return len(content) if written is None else written

    def writable(self) -> bool:
        """Return whether it can be written to."""
        return True

    def fileno(self) -> int:
        """Return the descriptor."""
        return int(self._raw.fileno())

    def isatty(self) -> bool:
        """Return whether it is a terminal."""
        return bool(self._raw.isatty())


def _is_closed(error: OSError) -> bool:
    """Return whether an error says on Windows that nobody reads a pipe any more."""
    return os.name == "nt" and error.errno == errno.EINVAL


def prepare() -> None:
    """Make output possible wherever it goes.

    What cannot be said on stderr is not said. Of results, what nobody reads any more is
    lost (`head` has seen enough, a terminal is gone); a disk that is full is an error.
    """
    for name in "stdout", "stderr":
        stream = getattr(sys, name)
        if stream is None:  # closed, as a shell's >&- does it
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, TextIOWrapper):
            every = name == "stderr" or stream.isatty()
            forgiven = OSError if every else BrokenPipeError
            setattr(sys, name, _lenient(stream, forgiven))
    # Not every encoding has every character. As \\u…, as stderr writes them already,
    # they stay different ones: two classes would both be "?".
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def has_reader() -> bool:
    """Return whether all that was written to stdout so far could be."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return not getattr(raw, "lost", False)


def _lenient(stream: TextIOWrapper, forgiven: type[OSError]) -> TextIOWrapper:
    return TextIOWrapper(
        BufferedWriter(Lenient(stream, forgiven)),
        stream.encoding,
        stream.errors,
        line_buffering=stream.line_buffering or stream.write_through,
    )
