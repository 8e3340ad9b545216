"""The data set that a run's settings name."""

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from nnx.data.dataset import Dataset, TableOptions
from nnx.data.load import load
from nnx.data.table_set import load_like
from nnx.network import Network

# The settings that `described` gives.
NAMES = "dataset", "data_dir", *TableOptions._fields


def load_data(
    settings: Mapping[str, Any],
    dataset: str | None = None,
    data_dir: str | PathLike[str] | None = None,
    *,
    network: Network | None = None,
) -> Dataset:
    """Return the data set that settings name, or another in its place.

    dataset, data_dir: as for `nnx.load`; None is as in the settings
    network: if another is a table, what takes its rows, all of them

    Raises:
        InputError: as for `nnx.load`
    """
    if dataset is None:
        options = {name: settings[name] for name in TableOptions._fields}
        return load(
            settings["dataset"], data_dir or settings["data_dir"] or None, **options
        )
    if network is not None and network.columns:
        return load_like(Path(dataset).expanduser(), network, settings["target"])
    return load(dataset, data_dir)


def described(data: Dataset) -> dict[str, Any]:
    """Return the settings that name a data set."""
    named = {"dataset": data.source, "data_dir": data.data_dir}
    return named | data.options._asdict()
