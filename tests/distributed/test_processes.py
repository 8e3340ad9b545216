"""What processes agree on before they train together."""

import os
import re
import sys
from contextlib import closing
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from threading import get_ident, local
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from distributed.processes import together
from nnx_backends.cupy_gpu import nccl

import nnx
from nnx import communicator, cores
from nnx.backend import Backend, FirstRun, find
from nnx.cli import begin
from nnx.cli import train as command
from nnx.communicator import first_rank, own_cores, place_on_machine
from nnx.data.dataset import Dataset
from nnx.errors import (
    InputError,
    MissingLibraryError,
    NnxError,
    UnusableBackendError,
)
from nnx.maths.shards import ALONE, Communicator
from nnx.network import Network
from nnx.settings import complete
from nnx.training import processes
from nnx.training.run import Run


def test_other_data_in_another_process_are_refused_by_all(data: Dataset) -> None:
    other = data._replace(train=data.train._replace(labels=data.train.labels[::-1]))

    def work(communicator: Communicator) -> str:
        given = other if communicator.rank == 1 else data
        with pytest.raises(InputError) as refused:
            Run(Network([25, 3]), given, complete({}), communicator=communicator)
        return str(refused.value)

    assert {said.partition(": ")[2] for said in together(3, work)} == {
        "process 1 has other data than process 0"
    }


def test_shards_that_processes_cannot_share_are_refused(data: Dataset) -> None:
    settings = complete({"shards": 4})

    def work(communicator: Communicator) -> None:
        with pytest.raises(InputError, match="3 processes cannot share 4 shards"):
            Run(Network([25, 3]), data, settings, communicator=communicator)

    together(3, work)


@pytest.mark.parametrize("value", ["no_such_package:load", "nnx_backends.mpi:lode"])
def test_a_broken_package_is_one_line(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    point = EntryPoint("pigeons", value, communicator.GROUP)
    monkeypatch.setattr(communicator, "entry_points", lambda group: [point])
    with pytest.raises(UnusableBackendError, match=f"'pigeons': {value} cannot be lo"):
        communicator.find("pigeons")


@pytest.mark.parametrize(
    "raised",
    [ImportError("libmpi.so.12: cannot open"), RuntimeError("cannot load MPI library")],
)
def test_a_missing_mpi_library_is_one_line(
    monkeypatch: pytest.MonkeyPatch, raised: Exception
) -> None:
    class WithoutLibrary:
        @property
        def MPI(self) -> None:  # noqa: N802
            raise raised

    monkeypatch.setitem(sys.modules, "mpi4py", WithoutLibrary())
    says = f"needs mpi4py and an MPI library ({raised}): pip install 'nnx-mlp[mpi]'"
    with pytest.raises(MissingLibraryError, match=re.escape(says)):
        communicator.find("mpi")


def test_processes_of_a_machine_share_its_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cores, "available", lambda: 6)
    assert together(1, own_cores) == [6]
    assert together(3, own_cores) == [2, 2, 2]
    assert together(8, own_cores) == [1] * 8
    # Those that were started on cores of their own share none.
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {get_ident()}, raising=False)
    assert together(3, own_cores) == [6, 6, 6]


def test_the_first_process_acts_for_all() -> None:
    acted = list[int]()

    def act(rank: int) -> int:
        acted.append(rank)
        if len(acted) > 1:
            raise NnxError("once is enough")
        return 5

    def work(communicator: Communicator) -> int:
        done = first_rank(communicator, lambda: act(communicator.rank))
        with pytest.raises(NnxError, match="once is enough"):
            first_rank(communicator, lambda: act(communicator.rank))
        return done

    assert together(3, work) == [5] * 3
    assert acted == [0, 0]


def test_the_first_process_reads_the_network_of_from_for_all(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The others may be on machines that do not have its folder."""
    old, load, readers = tmp_path / "old", Network.load, list[int]()
    nnx.train(Network([64, 4, 10]), "digits", epochs=1, backend="numpy", out=old)

    def recorded(path: Path) -> Network:
        readers.append(get_ident())
        return load(path)

    monkeypatch.setattr(Network, "load", recorded)
    given = {"from": str(old), "backend": "numpy", "shards": 2}

    def work(communicator: Communicator) -> bytes:
        how = {"communicator": communicator, "resume": False, "threads": None}
        run = command._begun(
            lambda: begin.with_origin(given),
            {}, tmp_path / "new", classes=True, quiet=True, **how,
        )  # fmt: skip
        with closing(run):
            return run.network.layers[0].weight.tobytes()

    assert {*together(2, work)} == {load(old).layers[0].weight.tobytes()}
    assert len({*readers}) == 1


def test_processes_of_a_machine_are_counted_by_rank(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Four processes, the second of which is alone on its machine."""
    machine = local()
    monkeypatch.setattr(communicator.platform, "node", lambda: machine.name)
    monkeypatch.setattr(cores, "available", lambda: 6)

    def work(each: Communicator) -> tuple[int, int]:
        machine.name = "other" if each.rank == 1 else "one"
        return place_on_machine(each), own_cores(each)

    assert together(4, work) == [(0, 2), (0, 6), (1, 2), (2, 2)]


def test_all_take_the_backend_of_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which finds no kernels compiled, where the others do."""
    asked = iter(["numpy", "numba", "numba"])

    def choose(name: str, **options: Any) -> Backend:
        return find(next(asked) if name == "auto" else name)

    monkeypatch.setattr(processes, "choose", choose)
    names = together(3, lambda each: processes.choose_alike("auto", each).name)
    assert names == ["numpy"] * 3


def test_cards_exchange_through_the_hosts_where_one_process_lacks_nccl(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The others would wait for it for ever."""
    available = iter([True, False])
    monkeypatch.setattr(
        nccl, "_nccl", lambda: SimpleNamespace(available=next(available))
    )
    assert all(together(2, lambda hosts: nccl.joined(hosts, np) is hosts))


@pytest.mark.parametrize(
    ("available", "words"), [(True, "by NCCL"), (False, "through the hosts, as NCCL")]
)
def test_how_other_cards_are_reached(
    available: bool, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nccl, "_nccl", lambda: SimpleNamespace(available=available))
    assert f"other cards are reached {words}" in nccl.way()


@pytest.mark.parametrize("shards", [1, 2])
def test_a_run_tells_how_its_steps_are_taken(data: Dataset, shards: int) -> None:
    settings = complete({"batch_norm": True, "shards": shards})
    run = Run(Network([25, 4, 3]), data, settings, backend="numba")
    way = "NumPy's steps, because of batch normalization in shards"
    assert run.way == (way if shards > 1 else "")


def test_a_backend_without_shards_of_its_own_tells_so(data: Dataset) -> None:
    def way(backend: Backend) -> str:
        network, settings = Network([25, 3]), complete({"shards": 2})
        return Run(network, data, settings, backend=backend).way

    plain = find("numpy")
    first = FirstRun("a note")
    own = replace(plain, own_steps=plain.run_steps, first_run=first)
    assert own.in_shards(ALONE).first_run.note == "a note"
    assert way(plain) == ""
    assert way(own) == "steps are taken one by one, as batches have shards"
