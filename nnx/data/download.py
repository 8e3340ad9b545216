"""Downloading the published data sets, and checking them with SHA-256."""

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
    """Return the folder for a data set in the platform's cache.

    Raises:
        InputError: this user has no home folder
    """
    from platformdirs import user_cache_dir

    try:
        return Path(user_cache_dir("nnx")) / name
    except RuntimeError:
        raise InputError(
            "no folder to look for data in, as this user has no home: set HOME or "
            "XDG_CACHE_HOME, or give --data-dir"
        ) from None


def is_cached(name: str) -> bool:
    """Return whether the cache has all files of a published set, intact or not."""
    folder = cache_folder(name)
    return all((folder / file.name).is_file() for file in PUBLISHED[name].files)


def fetch(name: str) -> Path:
    """Return the folder with the files of a published set, downloading missing ones.

    An existing file is kept if its checksum is right; otherwise it is downloaded again.

    Raises:
        InputError: the set is not published, a file cannot be saved, or no mirror
            delivers it intact
    """
    if name not in PUBLISHED:
        reason = f"not a data set to fetch; choose from {', '.join(PUBLISHED)}"
        if name in NAMES:
            reason = "comes with nnx: there is nothing to fetch"
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
        except ValueError:  # raised by pooch for a wrong checksum
            reason = "wrong checksum"
        except OSError as error:
            raise InputError(
                f"{folder}: cannot save {file.name}: {error.strerror or error}; "
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
        f"put these by hand into {folder}, or into one that --data-dir or NNX_DATA_DIR "
        f"names: {files}"
    )


def _retrieve(url: str, file: File, folder: Path) -> None:
    """Download and replace one file, unless it exists with the right checksum."""
    import pooch

    pooch.get_logger().setLevel(logging.WARNING)

    def download(url: str, output: Any, _: Any) -> None:
        with progress(url, file.size) as bar:
            # Without this header, some servers unpack .gz files.
            pooch.HTTPDownloader(
                progressbar=bar,
                chunk_size=_PIECE,
                timeout=_TIMEOUT,
                headers={"Accept-Encoding": "identity"},
            )(url, output, None)

    pooch.retrieve(url, f"sha256:{file.sha256}", file.name, folder, downloader=download)


@contextmanager
def progress(label: str, size: int) -> Iterator[Any]:
    """Show a progress bar for `size` bytes on a terminal, or else one plain line."""
    if not sys.stderr.isatty():
        print(f"downloading {label} ({size:,} bytes)", file=sys.stderr)
        yield False
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(label, total=size)
        # The interface that pooch expects of a bar. pooch would set the total to the
        # server's value; the bar shows the published size. The block closes the bar.
        yield SimpleNamespace(
            total=0,
            update=partial(shown.advance, task),
            reset=partial(shown.reset, task),
            close=lambda: None,
        )
