"""Valid files, damaged: what a bad disk, a bad editor and an attacker make of them."""

import random

NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1)
NUMBERS += (2**63 - 1, 2**63, 2**64 - 1)
TOKENS = (
    b"", b",", b'"', b"'", b"\n", b"\r", b"\0", b"-", b".", b"e", b"[", b"]", b"{",
    b"}", b"=", b":", b";", b"\t", b"#", b"_", b"\\", b"1e999", b"nan", b"-inf",
    b"null", b"true", b"1_0", "\u0661".encode(), "\ufeff".encode(), b"\xff\xfe",
    b"../", b"/etc/passwd", b"9" * 30,
)  # fmt: skip
MOST = 1 << 20  # bytes that a file may grow to


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Return a file with one to four things wrong."""
    for _ in range(chance.choice((1, 1, 2, 4))):
        data = chance.choice(WAYS)(data, chance)[:MOST]
    return data


def _flip(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data) or 1)
    return (
        data[:at] + bytes([(*data, 0)[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]
    )


def _replace(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data) + 1)
    new = chance.randbytes(chance.randrange(5))
    return data[:at] + new + data[at + chance.randrange(5) :]


def _token(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data) + 1)
    new = chance.choice(TOKENS) * chance.choice((1, 1, 1, 3, 100, 10_000))
    return data[:at] + new + data[at + chance.choice((0, len(new), 1)) :]


def _number(data: bytes, chance: random.Random) -> bytes:
    at, size = chance.randrange(len(data) + 1), chance.choice((1, 2, 4, 8))
    number = chance.choice(NUMBERS) % 256**size
    new = number.to_bytes(size, chance.choice(("big", "little")))
    return data[:at] + new + data[at + size :]


def _piece(data: bytes, chance: random.Random) -> tuple[int, int]:
    begin = chance.randrange(len(data) + 1)
    return begin, min(len(data), begin + chance.choice((1, 4, 16, 64, 1 << 20)))


def _drop(data: bytes, chance: random.Random) -> bytes:
    begin, end = _piece(data, chance)
    return data[:begin] + data[end:]


def _repeat(data: bytes, chance: random.Random) -> bytes:
    begin, end = _piece(data, chance)
    times = min(chance.choice((1, 1, 8, 500)), MOST // max(1, end - begin))
    return data[:end] + data[begin:end] * times + data[end:]


def _move(data: bytes, chance: random.Random) -> bytes:
    (begin, end), at = _piece(data, chance), chance.randrange(len(data) + 1)
    return data[:at] + data[begin:end] + data[at:]


WAYS = _flip, _flip, _replace, _token, _number, _number, _drop, _repeat, _move
