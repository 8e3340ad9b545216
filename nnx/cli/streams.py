"""Standard output and error that do not end a command when closed or broken."""

import errno
import os
import sys
from io import BufferedWriter, RawIOBase, TextIOWrapper
from select import select
from typing import Any


class Lenient(RawIOBase):
    """A stream that discards what it cannot write.

    stream: the stream that it replaces; kept, because its end closes the descriptor
    forgiven: the errors after which output is discarded; others are raised
    lost: whether any output was discarded
    """

    def __init__(self, stream: TextIOWrapper, forgiven: type[OSError]) -> None:
        super().__init__()
        self._stream, self._forgiven = stream, forgiven
        # If Python runs unbuffered, the buffer is the raw stream.
        self._raw: Any = getattr(stream.buffer, "raw", stream.buffer)
        self.lost = False

    def write(self, content: Any) -> int:
        """Write bytes, or part of them; return how many, discarded ones included.

        Raises:
            OSError: the first error that is not forgiven
        """
        try:
            while (written := self._raw.write(content)) is None:
                select([], [self._raw], [])  # there is no room, and it does not wait
        except OSError as error:
            known, self.lost = self.lost, True
            if not (known or isinstance(error, self._forgiven) or _is_closed(error)):
                raise
            return len(content)
        return int(written)

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
    """Return whether an error means on Windows that a pipe's reader has ended."""
    return os.name == "nt" and error.errno == errno.EINVAL


def prepare() -> None:
    """Replace stdout and stderr by streams that survive a closed pipe or terminal.

    Errors on stderr are ignored. On stdout, output that nobody reads any more is
    discarded (`head` has ended, the terminal is gone), but a full disk is an error.
    """
    for name in "stdout", "stderr":
        stream = getattr(sys, name)
        if stream is None:  # closed, as by a shell's >&-
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, TextIOWrapper):
            every = name == "stderr" or stream.isatty()
            forgiven = OSError if every else BrokenPipeError
            setattr(sys, name, _lenient(stream, forgiven))
    # Characters that the encoding lacks become \u…, as on stderr; as "?", two classes
    # might look the same.
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def has_reader() -> bool:
    """Return whether no output to stdout has been discarded so far."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return not getattr(raw, "lost", False)


def _lenient(stream: TextIOWrapper, forgiven: type[OSError]) -> TextIOWrapper:
    return TextIOWrapper(
        BufferedWriter(Lenient(stream, forgiven)),
        stream.encoding,
        stream.errors,
        line_buffering=stream.line_buffering or stream.write_through,
    )
