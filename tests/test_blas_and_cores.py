"""What is asked of OpenBLAS, and how many cores are counted."""

import ctypes
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nnx import blas, cores
from nnx.installation import pools

ZEN5 = "vendor_id\t: AuthenticAMD\nflags\t\t: fpu avx512f avx512dq avx512bw avx512vl avx512cd\n\nvendor_id\t: x\n"  # noqa: E501


def _with(monkeypatch: pytest.MonkeyPatch, text: str | None) -> None:
    def read(*_: Any) -> str:
        if text is None:
            raise FileNotFoundError
        return text

    monkeypatch.setattr(blas.Path, "read_text", read)
    # Set first, so that what a test sets is taken back where there was nothing.
    monkeypatch.setenv(blas.VARIABLE, "")
    monkeypatch.delenv(blas.VARIABLE)


@pytest.mark.parametrize(
    ("text", "kernels"),
    [
        (ZEN5, "SkylakeX"),
        *((ZEN5.replace(flag, ""), None) for flag in re.findall(r"avx\w+", ZEN5)),
        (ZEN5.replace("AuthenticAMD", "GenuineIntel"), None),
        ("", None),
        (None, None),  # not Linux
    ],
)
def test_what_is_advised(
    monkeypatch: pytest.MonkeyPatch, text: str | None, kernels: str | None
) -> None:
    _with(monkeypatch, text)
    assert blas.advised() == kernels
    for used in ["Haswell"], ["SkylakeX", "Haswell"]:
        assert bool(blas.warning(used)) == (kernels is not None)
    blas.choose()
    assert os.environ.get(blas.VARIABLE) == kernels


def test_the_user_is_never_overridden(monkeypatch: pytest.MonkeyPatch) -> None:
    _with(monkeypatch, ZEN5)
    monkeypatch.setenv(blas.VARIABLE, "Haswell")
    blas.choose()
    assert os.environ[blas.VARIABLE] == "Haswell"
    assert "OPENBLAS_CORETYPE=Haswell is set: unset it" in str(
        blas.warning(["Haswell"])
    )
    assert blas.warning(["SkylakeX"]) is None


def test_importing_nnx_changes_nothing() -> None:
    # Two variables are JAX's own doing, where it is installed and info looks at it.
    code = (
        "import importlib.util as u, os; u.find_spec('jax') and __import__('jax'); "
        "before = dict(os.environ); import nnx; nnx.Network; nnx.train; nnx.info(); "
        "assert dict(os.environ) == before"
    )
    # threadpoolctl's import sets it, and may have, here.
    env = {k: v for k, v in os.environ.items() if k != "KMP_DUPLICATE_LIB_OK"}
    subprocess.run([sys.executable, "-c", code], check=True, env=env)


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("max 100000", 8),
        ("150000 100000", 2),
        ("50000 100000", 1),
        ("1600000 100000", 8),
        ("", 8),
    ],
)
def test_a_container_s_limit_counts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, limit: str, expected: int
) -> None:
    (tmp_path / "cpu.max").write_text(limit)
    monkeypatch.setattr(cores, "CGROUP", tmp_path / "cpu.max")
    monkeypatch.setattr(cores, "_capacity", lambda core: 1024)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert cores.available() == expected


@pytest.mark.parametrize(
    ("capacities", "used"),
    [
        ([1024] * 8, 8),
        ([None] * 8, 8),  # the kernel does not tell
        ([250] * 4 + [1024] * 4, 4),
        ([300] * 4 + [900] * 3 + [1024], 4),
        ([600] * 6 + [1024] * 2, 8),  # two cores would be slower than all
        ([512] * 4 + [1024] * 4, 8),  # four would be as fast
    ],
)
def test_slow_cores_are_left_out_where_that_is_faster(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capacities: list[int | None],
    used: int,
) -> None:
    for core, capacity in enumerate(capacities):
        (tmp_path / f"cpu{core}").mkdir()
        if capacity is not None:
            (tmp_path / f"cpu{core}/cpu_capacity").write_text(f"{capacity}\n")
    monkeypatch.setattr(cores, "_capacity", cores._capacity.__wrapped__)
    monkeypatch.setattr(cores, "CPUS", tmp_path)
    monkeypatch.setattr(cores, "CGROUP", tmp_path / "none")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert cores.available() == used
    assert cores.preferred() == set(range(8 - used, 8))


@pytest.mark.parametrize("fast", [4, None])
def test_apple_s_performance_cores_are_counted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fast: int | None
) -> None:
    """Intel's processors in older Macs have no such entry."""

    def entry(name: bytes, count: Any, size: Any, *_: Any) -> int:
        assert (name, size._obj.value) == (b"hw.perflevel0.logicalcpu", 4)
        count._obj.value = fast or 0
        return 0 if fast else -1

    monkeypatch.setattr(cores, "CGROUP", tmp_path / "none")
    monkeypatch.setattr(cores.sys, "platform", "darwin")
    libc = SimpleNamespace(sysctlbyname=entry)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: libc)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert cores.available() == (fast or 8)


def test_a_small_product_takes_one_thread() -> None:
    """Where BLAS is one that can be asked; its own number comes back after it."""

    from sklearn.utils import _openmp_helpers  # noqa: F401  # other threads than BLAS's

    def threads(kind: str = "blas") -> list[int]:
        return [pool["threads"] for pool in pools(kind)]

    blas._controller.cache_clear()
    with blas.threadpoolctl().threadpool_limits(2):  # the tests have one
        before = threads()
        with blas.threads_for(64 * 784 * 128):
            assert set(threads()) <= {1}
            assert set(threads("openmp")) == {2}
        with blas.threads_for(128 * 784 * 100):
            assert threads() == before
        assert threads() == before


# Ticks of a hundredth of a second: user, nice, system, idle, waiting, and others.
STAT = "cpu 9 9 9 9 9\ncpu0 0 0 0 {} 0 0 0 0\ncpu1 0 0 0 0 {} 0 0 0\nintr 5\n"


@pytest.mark.parametrize(
    ("own", "idle", "expected"),
    [
        (0.0, (1000, 1000), 0.0),  # nobody does anything
        (10.0, (0, 1000), 0.0),  # this process keeps a core
        (10.0, (0, 0), 1.0),  # and another process the other one
        (5.0, (0, 500), 1.0),  # which shares both with it
        (20.1, (0, 0), 0.0),  # this one keeps both, by clocks that differ
    ],
)
def test_how_many_cores_others_keep(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    own: float,
    idle: tuple[int, int],
    expected: float,
) -> None:
    monkeypatch.setattr(cores, "STAT", tmp_path / "stat")
    monkeypatch.setattr(cores, "CGROUP", tmp_path / "none")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    monkeypatch.setattr(os, "sysconf", lambda _: 100, raising=False)
    moments = iter([0.0, 10.0])
    spent = iter([0.0, own])
    # In this module alone: other threads, such as a server's, look at the clock too.
    clock = SimpleNamespace(
        monotonic=lambda: next(moments), process_time=lambda: next(spent)
    )
    monkeypatch.setattr(cores, "time", clock)
    (tmp_path / "stat").write_text(STAT.format(0, 0))
    began = cores.times()
    (tmp_path / "stat").write_text(STAT.format(*idle))
    assert cores.busy(began) == pytest.approx(expected)


def test_where_nothing_is_said_nobody_is_busy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    clock = SimpleNamespace(monotonic=lambda: 5.0, process_time=lambda: 1.0)
    with monkeypatch.context() as stopped:
        stopped.setattr(cores, "time", clock)
        assert cores.busy(cores.times()) == 0.0
    monkeypatch.setattr(cores, "STAT", tmp_path / "none")
    assert cores.busy(cores.times()) == 0.0
