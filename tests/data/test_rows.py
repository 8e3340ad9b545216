"""Rows of arrays that need not fit into memory, where they are read."""

from pathlib import Path

import numpy as np
import pytest

from nnx.data.rows import loaded
from nnx.errors import InputError


def test_rows_of_a_mapped_file_are_read_wherever_they_lie_in_it(tmp_path: Path) -> None:
    numbers = np.arange(100 * 7, dtype=np.int16).reshape(100, 7)
    path = tmp_path / "numbers"
    path.write_bytes(b"heading" + numbers.tobytes())
    mapped = np.memmap(path, np.int16, "r", offset=7, shape=numbers.shape)
    for view, same in (
        (mapped, numbers),
        (mapped[5:][10:].reshape(-1, 17, 5), numbers[5:][10:].reshape(-1, 17, 5)),
        (mapped.T, numbers.T),
        (mapped[::3], numbers[::3]),
        (mapped.view(np.uint8), numbers.view(np.uint8)),
    ):
        for rows in slice(0, 3), slice(2, None), slice(4, 4):
            got = loaded(view, rows)
            assert type(got) is np.ndarray
            assert got.flags.aligned
            assert not np.may_share_memory(got, view)
            assert np.array_equal(got, same[rows])


def test_a_file_that_becomes_shorter_while_it_is_trained_on(tmp_path: Path) -> None:
    """Reading it is refused; to touch a page past its end would end the process."""
    path = tmp_path / "numbers"
    path.write_bytes(bytes(100_000))
    mapped = np.memmap(path, np.uint8, "r", shape=(1000, 100))
    path.write_bytes(bytes(10_000))
    with pytest.raises(InputError, match=r"numbers: has become shorter since"):
        loaded(mapped, slice(50, 200))
