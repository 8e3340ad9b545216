"""The data set that a run's settings name."""

import os
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from nnx.data import image_folder, table_set
from nnx.data.dataset import IN_MEMORY, Dataset, TableOptions
from nnx.data.load import MissingDataError, is_pictures, load
from nnx.data.pixels import on_scale
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
    network: the network that will be tested on the data of `dataset`: on all rows of a
        table, and on all pictures of a folder without a test part

    Raises:
        InputError: as for `nnx.load`
    """
    if dataset is None:
        return _load_named(settings, data_dir)
    if network is None:
        return load(dataset, data_dir)
    path = Path(os.path.expanduser(dataset))
    if network.columns:
        return table_set.load_like(path, network, settings["target"])
    of_pictures = network.task == "classification" and network.frame.box > 0
    if of_pictures and data_dir is None and is_pictures(dataset):
        return image_folder.load_like(path, network)
    return on_scale(load(dataset, data_dir), network.frame.maximum)


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
