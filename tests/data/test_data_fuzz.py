"""Damaged files of every kind: they load, or an InputError of one line says why not."""

import gzip
import io

import numpy as np
import pytest
from data_files import idx_bytes, samples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nnx.data import csv_sets, npz
from nnx.data.idx import read_images, read_labels
from nnx.data.load import load
from nnx.errors import InputError

IMAGES, LABELS = samples(6)


def _npz(save):
    stream = io.BytesIO()
    save(stream, x_train=IMAGES, y_train=LABELS, x_test=IMAGES / 255, y_test=LABELS)
    return stream.getvalue()


CSV = b"label,a,b,c\r\n" + b"".join(b"%d,%d,1,255\r\n" % (i % 3, i) for i in range(12))
TABLE = b"size,city,price\r\n" + b"".join(
    b'%d.5,"%s, N",%d\r\n' % (i, (b"Oslo", b"Bern")[i % 2], 3 * i) for i in range(12)
)
VALID = {
    "images": (read_images, idx_bytes(IMAGES)),
    "images.gz": (read_images, gzip.compress(idx_bytes(IMAGES), mtime=0)),
    "labels": (read_labels, idx_bytes(LABELS)),
    "labels.gz": (read_labels, gzip.compress(idx_bytes(LABELS), mtime=0)),
    "train.csv": (lambda path: csv_sets.load_file(path, "mine"), CSV),
    "table.csv": (lambda path: load(path, target="price"), TABLE),
    "stored.npz": (lambda path: npz.load(path, "mine"), _npz(np.savez)),
    "packed.npz": (lambda path: npz.load(path, "mine"), _npz(np.savez_compressed)),
}

EDITS = st.lists(
    st.tuples(
        st.floats(0, 1, exclude_max=True),
        st.integers(0, 4),
        st.one_of(
            st.binary(max_size=4), st.sampled_from([b",", b'"', b"\n", b"-", b"e"])
        ),
    ),
    min_size=1,
    max_size=4,
)


def _damaged(data, edits):
    """Replace, at each place, some bytes by others, or by more, or by none."""
    for where, length, new in edits:
        at = int(where * len(data))
        data = data[:at] + new + data[at + length :]
    return data


@pytest.mark.parametrize("name", VALID)
@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(edits=EDITS)
def test_damaged_files(tmp_path, name, edits):
    read, data = VALID[name]
    path = tmp_path / name
    path.write_bytes(_damaged(data, edits))
    try:
        read(path)
    except InputError as error:
        assert str(error).startswith(str(path))  # noqa: PT017
        assert "\n" not in str(error)  # noqa: PT017


@pytest.mark.parametrize("name", VALID)
def test_undamaged_files(tmp_path, name):
    read, data = VALID[name]
    (tmp_path / name).write_bytes(data)
    read(tmp_path / name)


@pytest.mark.parametrize("name", ["images.gz", "labels", "stored.npz"])
def test_every_truncation_is_refused(tmp_path, name):
    read, data = VALID[name]
    path = tmp_path / name
    for length in range(0, len(data), max(1, len(data) // 60)):
        path.write_bytes(data[:length])
        with pytest.raises(InputError):
            read(path)
