import gc
import os
from pathlib import Path

import numpy as np
import pytest

from nnx import memory
from nnx.data import file_bytes
from nnx.data.file_bytes import Buffers, read
from nnx.errors import InputError

CONTENT = np.random.default_rng(0).bytes(20_000)
PLACES = [(0, 20_000), (1, 1), (4095, 2), (4096, 4096), (100, 12_345), (19_999, 1)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "numbers").write_bytes(CONTENT)
    return tmp_path / "numbers"


@pytest.fixture
def flags(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the flags of every file that is opened, as a list that grows."""
    seen = []
    opened = os.open
    monkeypatch.setattr(os, "open", lambda p, f: (seen.append(f), opened(p, f))[1])
    return seen


def short_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available", lambda: 10_000)


@pytest.mark.parametrize("short", [False, True])
@pytest.mark.parametrize("chunk", [4096, 1 << 22])
def test_bytes_of_a_file_wherever_they_lie(path, monkeypatch, short, chunk) -> None:
    monkeypatch.setattr(file_bytes, "_CHUNK", chunk)
    if short:
        short_of_memory(monkeypatch)
    buffers = Buffers()
    for first, size in PLACES:
        for given in None, buffers:
            assert read(path, first, size, given).tobytes() == CONTENT[first:][:size]


@pytest.mark.skipif(not hasattr(os, "O_DIRECT"), reason="this system has no O_DIRECT")
@pytest.mark.parametrize(
    ("buffers", "short", "past"),
    [(Buffers(), True, True), (Buffers(), False, False), (None, True, False)],
)
def test_past_the_cache_where_memory_does_not_hold_it(
    path, monkeypatch, flags, buffers, short, past
) -> None:
    if short:
        short_of_memory(monkeypatch)
    read(path, 0, 9, buffers)
    assert bool(flags[0] & os.O_DIRECT) == past


@pytest.mark.skipif(not hasattr(os, "O_DIRECT"), reason="this system has no O_DIRECT")
def test_a_file_system_that_has_it_not_is_read_as_any(path, monkeypatch) -> None:
    short_of_memory(monkeypatch)
    opened = os.open

    def refusing(path: Path, flags: int) -> int:
        if flags & os.O_DIRECT:
            raise OSError(22, "Invalid argument")
        return opened(path, flags)

    monkeypatch.setattr(os, "open", refusing)
    assert read(path, 5000, 100, Buffers()).tobytes() == CONTENT[5000:5100]


@pytest.mark.parametrize("short", [False, True])
@pytest.mark.parametrize("first", [0, 16_384, 40_960])
def test_a_file_that_is_shorter_is_refused(path, monkeypatch, short, first) -> None:
    if short:
        short_of_memory(monkeypatch)
    with pytest.raises(InputError, match="numbers: has become shorter since"):
        read(path, first, 20_001, Buffers())


def test_memory_is_used_again_once_its_last_view_is_gone() -> None:
    buffers = Buffers()
    first = buffers.take(5000)
    where = first.ctypes.data
    assert where % 4096 == 0
    view = first.view(np.int16).reshape(-1, 50)[3:]
    del first
    gc.collect()
    assert not np.may_share_memory(buffers.take(5000), view)
    del view
    gc.collect()
    other = np.empty(5000 + 2 * 4096, np.uint8)  # takes memory that is not kept
    places = {a.ctypes.data for a in [buffers.take(5100), buffers.take(5000)]}
    assert where in places
    assert not np.may_share_memory(other, buffers.take(5000))
    gc.collect()
    assert len(buffers.take(5000 + 2 * 4096 - 20)) == 5000 + 2 * 4096 - 20
