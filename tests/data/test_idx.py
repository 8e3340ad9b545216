import gzip
import struct
from functools import partial

import numpy as np
import pytest
from data_files import refusal, samples
from idx_files import idx_bytes

from nnx.data import idx
from nnx.data.idx import read_images, read_labels

# Without the clock: what it packs is in names of tests, which xdist compares.
compress = partial(gzip.compress, mtime=0)
IMAGES, LABELS = samples(7)
HEADER = struct.pack(">BBBBIII", 0, 0, 8, 3, 7, 4, 5)


def write(tmp_path, data, name="images"):
    path = tmp_path / name
    path.write_bytes(data)
    return path


def refused(read, path):
    message = refusal(read, path)
    assert message.startswith(str(path))
    return message


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_reads_what_was_written(tmp_path, suffix):
    pack = gzip.compress if suffix else bytes
    images = write(tmp_path, pack(idx_bytes(IMAGES)), f"images{suffix}")
    labels = write(tmp_path, pack(idx_bytes(LABELS)), f"labels{suffix}")
    pixels, size = read_images(images)
    assert size == (4, 5)
    assert pixels.shape == (7, 20)
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, IMAGES.reshape(7, 20))
    np.testing.assert_array_equal(read_labels(labels), LABELS)


def test_uncompressed_images_are_mapped_read_only(tmp_path):
    pixels, _ = read_images(write(tmp_path, idx_bytes(IMAGES)))
    assert isinstance(pixels, np.memmap)
    assert not pixels.flags.writeable


def test_gzip_of_several_members_is_one_file(tmp_path):
    data = idx_bytes(IMAGES)
    packed = compress(data[:30]) + compress(data[30:])
    pixels, _ = read_images(write(tmp_path, packed, "images.gz"))
    np.testing.assert_array_equal(pixels, IMAGES.reshape(7, 20))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no samples"),
        (b"\0\0", "truncated: its header needs 16 bytes, has 2"),
        (HEADER[:10], "truncated: its header needs 16 bytes, has 10"),
        (idx_bytes(IMAGES)[:-1], "truncated: needs 156 bytes, has 155"),
        (idx_bytes(IMAGES) + b"\0", "trailing bytes: needs 156 bytes, has 157"),
        (idx_bytes(IMAGES[:0]), "no samples"),
        (idx_bytes(IMAGES, code=0x0D), "type code 0x0d"),
        (idx_bytes(IMAGES[None]), "expected images (dimensions: 3, magic 0x00000803)"),
        (idx_bytes(LABELS), "found labels (dimensions: 1, magic 0x00000801)"),
        (idx_bytes(IMAGES, shape=(1 << 31, 28, 28)), "truncated: needs 1683627180048"),
        (idx_bytes(IMAGES, shape=(2**32 - 1,) * 3), "truncated: needs 792281624"),
        (compress(idx_bytes(IMAGES)), "add .gz to its name"),
        (b"PK\3\4 and so on", "not IDX (starts with 'PK"),
    ],
)
def test_refuses_plain_files(tmp_path, data, said):
    assert said in refused(read_images, write(tmp_path, data))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no samples: the file is empty"),
        (b"<!DOCTYPE html><html>", "not gzip (starts with '<!DO…'): the mirror answer"),
        (idx_bytes(IMAGES), "unpacked already"),
        (b"\x7fELF", "not gzip (starts with '\\x7fELF…')"),
        (compress(b""), "no samples"),
        (compress(HEADER[:9]), "truncated: its header needs 16 bytes, has 9"),
        (compress(idx_bytes(IMAGES))[:12], "truncated"),
        (compress(idx_bytes(IMAGES))[:-3], "truncated"),
        (compress(idx_bytes(IMAGES)[:-5]), "truncated: needs 156 bytes, has 151"),
        (compress(idx_bytes(IMAGES) + b"\0"), "trailing bytes"),
        (compress(idx_bytes(IMAGES)) + b"junk", "damaged"),
        (compress(idx_bytes(IMAGES))[:-8] + b"12345678", "damaged (CRC check"),
        (
            compress(idx_bytes(IMAGES, shape=(1 << 31, 28, 28))),
            "truncated or forged: its header says 1683627180032 bytes",
        ),
    ],
)
def test_refuses_compressed_files(tmp_path, data, said):
    assert said in refused(read_images, write(tmp_path, data, "images.gz"))


def test_truncated_gzip_says_how_much_arrived(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (100, 28, 28))
    packed = compress(idx_bytes(images))
    message = refused(read_images, write(tmp_path, packed[:40_000], "images.gz"))
    needs, has = (
        int(word) for word in message.replace(",", "").split() if word.isdigit()
    )
    assert needs == 78_416
    assert 30_000 < has <= 40_000


def test_images_given_as_labels(tmp_path):
    message = refused(read_labels, write(tmp_path, idx_bytes(IMAGES)))
    assert "expected labels" in message
    assert "found images" in message


def test_bomb_is_read_no_further_than_its_header_says(tmp_path):
    """A header of 140 bytes before 64 MiB of zeros: only one byte more is unpacked."""
    bomb = compress(idx_bytes(IMAGES) + bytes(64 << 20))
    assert "trailing" in refused(read_images, write(tmp_path, bomb, "images.gz"))


def test_more_than_the_limit_must_be_unpacked_first(tmp_path, monkeypatch):
    monkeypatch.setattr(idx, "MAX_UNPACKED", 139)
    path = write(tmp_path, compress(idx_bytes(IMAGES)), "images.gz")
    assert "unpack it first" in refused(read_images, path)


def test_what_the_system_refuses_is_said_in_one_line(tmp_path, monkeypatch):
    assert "No such file" in refused(read_images, tmp_path / "missing")
    assert "Is a directory" in refused(read_images, tmp_path)

    def denied(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", denied)
    assert "Permission denied" in refused(read_images, tmp_path / "closed")
