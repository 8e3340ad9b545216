"""Fetching the published data sets, every byte checked with SHA-256."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

from nnx.data.named import NAMES, PUBLISHED, File
from nnx.errors import InputError

_TIMEOUT = (10, 30)  # seconds to connect, seconds between two pieces
_PIECE = 1 << 16


def cache_folder(name: str) -> Path:
    """Return the folder of the platform's cache that a data set is kept in."""
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("nnx")) / name


def fetch(name: str) -> Path:
    """Return the folder with the files of a published set, fetched where needed.

    A file that is there is kept if its checksum is right, and else fetched again.

    Raises:
        InputError: a set that is not published, or that no mirror delivers whole
    """
    if name not in PUBLISHED:
        reason = f"not a data set to fetch; choose from {', '.join(PUBLISHED)}"
        if name in NAMES:
            reason = "comes with nnx, there is nothing to fetch"
        raise InputError(f"{name}: {reason}")
    folder = cache_folder(name)
    for file in PUBLISHED[name].files:
        _from_mirrors(name, file, folder)
    return folder


def _from_mirrors(name: str, file: File, folder: Path) -> None:
    from requests import RequestException

    reasons = []
    for mirror in PUBLISHED[name].mirrors:
        try:
            return _retrieve(mirror + file.name, file, folder)
        except RequestException as error:
            reason = type(error).__name__
            if error.response is not None:
                reason = f"HTTP status {error.response.status_code}"
        except ValueError:  # pooch's word for a wrong checksum
            reason = "wrong checksum"
        except OSError as error:
            raise InputError(
                f"{folder}: cannot keep {file.name}: {error.strerror or error}; "
                f"{_by_hand(name, 'another folder')}"
            ) from error
        reasons.append(f"{urlsplit(mirror).netloc}: {reason}")
    raise InputError(
        f"{name}: no mirror delivered {file.name} ({'; '.join(reasons)}); "
        f"{_by_hand(name, str(folder))}"
    )


def _by_hand(name: str, folder: str) -> str:
    files = ", ".join(f"{f.name} (SHA-256 {f.sha256})" for f in PUBLISHED[name].files)
    return (
        f"put by hand into {folder}, or into one that --data-dir or NNX_DATA_DIR "
        f"names: {files}"
    )


def _retrieve(url: str, file: File, folder: Path) -> None:
    """Fetch one file, unless it is there and right; a wrong one is replaced."""
    import pooch

    pooch.get_logger().setLevel(logging.WARNING)

    def download(url: str, output: Any, _: Any) -> None:
        with progress(url, file.size) as bar:
            # Some servers unpack .gz files on the way, unless told not to.
            pooch.HTTPDownloader(
                progressbar=bar,
                chunk_size=_PIECE,
                timeout=_TIMEOUT,
                headers={"Accept-Encoding": "identity"},
            )(url, output, None)

    pooch.retrieve(url, f"sha256:{file.sha256}", file.name, folder, downloader=download)


@contextmanager
def progress(label: str, size: int) -> Iterator[Any]:
    """Show a bar of so many bytes on a terminal, and one plain line elsewhere."""
    if not sys.stderr.isatty():
        print(f"downloading {label} ({size:,} bytes)", file=sys.stderr)
        yield False
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(label, total=size)
        # What pooch asks of a bar. It sets the total to what the server says, and the
        # published size is better; the block closes the bar.
        yield SimpleNamespace(
            total=0,
            update=partial(shown.advance, task),
            reset=partial(shown.reset, task),
            close=lambda: None,
        )
