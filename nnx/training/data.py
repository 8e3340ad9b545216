"""The data set that a run's settings name."""

import os
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from nnx.data import image_folder, table_like
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
    network: the network that the data are for. Tables are read with its columns; it is
        tested on all rows of a table in `dataset`, and on all pictures of a folder
        without a test part

    Raises:
        InputError: as for `nnx.load`
    """
    if dataset is None:
        return _load_named(settings, data_dir, network)
    if network is None:
        return load(dataset, data_dir)
    path = Path(os.path.expanduser(dataset))
    if network.columns:
        return table_like.load_like(path, network, settings["target"])
    of_pictures = network.task == "classification" and network.frame.box > 0
    if of_pictures and data_dir is None and is_pictures(dataset):
        return image_folder.load_like(path, network)
    return on_scale(load(dataset, data_dir), network.frame.maximum)


def _load_named(
    settings: Mapping[str, Any],
    data_dir: str | PathLike[str] | None,
    network: Network | None,
) -> Dataset:
    """Return the data set that the settings name; errors name the command's option."""
    options = {name: settings[name] for name in TableOptions._fields}
    source, given = settings["dataset"], dict[str, Any](options)
    if options["validation_data"] == IN_MEMORY != source:
        raise InputError(
            "this run's validation set was made in memory: continue from Python, with "
            "nnx.train(…, resume=True), or give a table's as --validation-data"
        )
    if network is not None and network.columns:
        for name in table_like.AS_TRAINED:
            del given[name]
        given["like"] = network
    try:
        data = load(source, data_dir or settings["data_dir"] or None, **given)
    except MissingDataError as error:
        if "did you mean" in str(error) or source in (IN_MEMORY, ""):
            raise
        # Paths in a run's settings are absolute.
        hint = "--dataset names another"
        if os.path.isabs(source):
            hint = "if the data have moved, --dataset gives their place"
        raise InputError(f"{error}; {hint}") from None
    as_trained = {name: options[name] for name in table_like.AS_TRAINED}
    return data._replace(options=data.options._replace(**as_trained))


def described(data: Dataset) -> dict[str, Any]:
    """Return the settings that name a data set."""
    named = {"dataset": data.source, "data_dir": data.data_dir}
    return named | data.options._asdict()
