"""The data set that a run's settings name."""

import os
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from nnx.data.dataset import IN_MEMORY, Dataset, TableOptions
from nnx.data.load import MissingDataError, load
from nnx.data.pixels import on_scale
from nnx.data.table_set import load_like
from nnx.errors import InputError
from nnx.network import Network

# The settings that `described` returns.
NAMES = "dataset", "data_dir", *TableOptions._fields


def load_data(
    settings: Mapping[str, Any],
    dataset: str | None = None,
    data_dir: str | PathLike[str] | None = None,
    *,
    network: Network | None = None,
) -> Dataset:
    """Return the data set that the settings name, or `dataset` instead.

    dataset, data_dir: as for `nnx.load`; None: as in the settings
    network: the network that will take the data of `dataset`; a network of a table
        takes all rows of the table there

    Raises:
        InputError: as for `nnx.load`
    """
    if dataset is None:
        return _load_named(settings, data_dir)
    if network is not None and network.columns:
        path = Path(os.path.expanduser(dataset))
        return load_like(path, network, settings["target"])
    data = load(dataset, data_dir)
    return data if network is None else on_scale(data, network.frame.maximum)


def _load_named(
    settings: Mapping[str, Any], data_dir: str | PathLike[str] | None
) -> Dataset:
    """Return the data set that the settings name; errors name the command's option."""
    options = {name: settings[name] for name in TableOptions._fields}
    source = settings["dataset"]
    try:
        return load(source, data_dir or settings["data_dir"] or None, **options)
    except MissingDataError as error:
        if "did you mean" in str(error) or source in (IN_MEMORY, ""):
            raise
        # Paths in a run's settings are absolute.
        hint = "--dataset names another"
        if os.path.isabs(source):
            hint = "if the data have moved, --dataset gives their place"
        raise InputError(f"{error}; {hint}") from None


def described(data: Dataset) -> dict[str, Any]:
    """Return the settings that name a data set."""
    named = {"dataset": data.source, "data_dir": data.data_dir}
    return named | data.options._asdict()
