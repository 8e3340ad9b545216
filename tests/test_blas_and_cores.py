"""What is asked of OpenBLAS, and how many cores are counted."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from nnx import blas, cores
from nnx.installation import pools

ZEN5 = "vendor_id\t: AuthenticAMD\nflags\t\t: fpu avx512f avx512dq avx512bw avx512vl avx512cd\n\nvendor_id\t: x\n"  # noqa: E501


def _with(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(blas.Path, "read_text", lambda *_: text)
    # Set first, so that what a test sets is taken back where there was nothing.
    monkeypatch.setenv(blas.VARIABLE, "")
    monkeypatch.delenv(blas.VARIABLE)


@pytest.mark.parametrize(
    ("text", "kernels"),
    [
        (ZEN5, "SkylakeX"),
        (ZEN5.replace("avx512vl", ""), None),
        (ZEN5.replace("AuthenticAMD", "GenuineIntel"), None),
        ("", None),
    ],
)
def test_what_is_advised(
    monkeypatch: pytest.MonkeyPatch, text: str, kernels: str | None
) -> None:
    _with(monkeypatch, text)
    assert blas.advised() == kernels
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
    [("max 100000", 8), ("150000 100000", 2), ("50000 100000", 1), ("", 8)],
)
def test_a_container_s_limit_counts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, limit: str, expected: int
) -> None:
    (tmp_path / "cpu.max").write_text(limit)
    monkeypatch.setattr(cores, "CGROUP", tmp_path / "cpu.max")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert cores.available() == expected


def test_a_small_product_takes_one_thread() -> None:
    """Where BLAS is one that can be asked; its own number comes back after it."""

    def threads() -> list[int]:
        return [pool["threads"] for pool in pools("blas")]

    before = threads()
    with blas.threads_for(64 * 784 * 128):
        assert set(threads()) <= {1}
    with blas.threads_for(128 * 784 * 1000):
        assert threads() == before
    assert threads() == before


# Ticks of a hundredth of a second: user, nice, system, idle, waiting, and others.
STAT = "cpu 9 9 9 9 9\ncpu0 {} 0 0 {} 0 0 0 0\ncpu1 {} 0 0 {} 0 0 0 0\nintr 5\n"


@pytest.mark.parametrize(
    ("own", "idle", "expected"),
    [
        (0.0, (1000, 1000), 0.0),  # nobody does anything
        (10.0, (0, 1000), 0.0),  # this process keeps a core
        (10.0, (0, 0), 1.0),  # and another process the other one
        (5.0, (0, 500), 1.0),  # which shares both with it
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
    (tmp_path / "stat").write_text(STAT.format(0, 0, 0, 0))
    began = cores.times()
    (tmp_path / "stat").write_text(STAT.format(0, idle[0], 0, idle[1]))
    assert cores.busy(began) == pytest.approx(expected)


def test_where_nothing_is_said_nobody_is_busy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(cores, "STAT", tmp_path / "none")
    assert cores.busy(cores.times()) == 0.0
