"""Files that are whole or not there, and TOML that is right or refused."""

import os
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Any

from nnx.errors import InputError


def write(path: Path, content: bytes) -> None:
    """Write a file so that a reader finds the old content or the new, never a part.

    A temporary file in the same folder is filled, synchronized with the disk,
    and put in the old one's place. Should the machine stop in between, the next
    write takes up the temporary file that was left.
    """
    temporary = path.with_name(f".{path.name}.part")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(
            f"{path}: cannot write {len(content):,} bytes: {error.strerror}"
        ) from None
    finally:
        with suppress(OSError):
            os.unlink(temporary)


def read_toml(path: Path) -> dict[str, Any]:
    """Return a TOML file's values; refused where it is not there or not TOML."""
    try:
        return parse_toml(path.read_text("utf-8-sig"), str(path))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not TOML: it is no text in UTF-8") from None


def parse_toml(text: str, source: str) -> dict[str, Any]:
    """Return the values in TOML text; source is named where it is refused."""
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{source}: not TOML: {error}") from None
