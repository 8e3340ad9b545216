"""Finding a backend: three ways to fail, one line each."""

import sys
from dataclasses import fields, replace
from functools import partial
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from nnx import backend as backends
from nnx.backend import Backend
from nnx.errors import (
    BackendError,
    InputError,
    MissingLibraryError,
    UnknownBackendError,
    UnusableBackendError,
)
from nnx.maths import steps
from nnx.maths.ops import Ops


def test_an_unknown_name() -> None:
    says = "'abacus'; there are auto, cupy, gpu, .*numpy"
    with pytest.raises(UnknownBackendError, match=says):
        backends.find("abacus")


@pytest.mark.parametrize(
    ("name", "extra"), [("cupy", "cuda12"), ("torch", "torch"), ("jax", "jax")]
)
def test_a_missing_library(
    monkeypatch: pytest.MonkeyPatch, name: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    remedy = rf"not installed.*: pip install 'nnx-mlp\[{extra}\]'"
    with pytest.raises(MissingLibraryError, match=remedy) as refused:
        backends.find(name)
    assert "\n" not in str(refused.value)


def test_a_device_that_the_strict_backend_does_not_pretend() -> None:
    with pytest.raises(InputError, match=r"no device 'device7'; there are"):
        backends.find("strict", device="device7")


def test_a_package_that_offers_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("odd", "builtins:dict", backends.GROUP)
    monkeypatch.setattr(backends, "_offered", lambda: {"odd": point})
    with pytest.raises(BackendError, match="returned no nnx.backend.Backend"):
        backends.find("odd")


def test_a_backend_prints_as_one_line() -> None:
    assert repr(backends.find("numpy")) == "Backend('numpy', device='cpu')"


def test_the_record_stays_small() -> None:
    assert len(fields(Backend)) <= 10
    assert len(Ops._fields) <= 6


def test_an_own_way_of_many_steps_is_taken_and_the_plain_one_is_the_default(
    reference: Backend,
) -> None:
    state, order = object(), np.arange(4)

    def own(*given: object) -> object:
        assert given[0] is state
        assert given[2] is order
        return given[3]

    backend = replace(reference, own_steps=own)
    assert backend.run_steps(state, None, order, 3, None) == 3
    plain = reference.run_steps
    assert (plain.func, plain.keywords) == (steps.run_steps, {"ops": reference.ops})
    assert reference.xp is reference.ops.xp is np


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32", "float64"])
def test_arrays_go_to_the_device_and_back(backend: Backend, dtype: str) -> None:
    array = np.arange(6).reshape(2, 3).astype(dtype)
    back = backend.to_numpy(backend.from_numpy(array))
    assert back.dtype == dtype
    np.testing.assert_array_equal(back, array)
    assert isinstance(back, np.ndarray)
    backend.synchronize()


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3)[:, ::-1],
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.arange(6, dtype=">f4"),
        np.float32(2.5),
    ],
    ids=["reversed", "columns", "big-endian", "scalar"],
)
def test_arrays_of_any_form(backend: Backend, array: np.ndarray) -> None:
    if backend.name == "strict" and not array.dtype.isnative:
        pytest.skip("the standard has one order of bytes")
    back = backend.to_numpy(backend.from_numpy(array))
    assert back.shape == array.shape
    np.testing.assert_array_equal(back, array)


def offered(monkeypatch: pytest.MonkeyPatch, **loads: str) -> None:
    """Have these backends, and no others, be installed: names with their `load`s."""
    points = {n: EntryPoint(n, place, backends.GROUP) for n, place in loads.items()}
    monkeypatch.setattr(backends, "_offered", lambda: points)


NUMPY = "nnx_backends.numpy_cpu:load"


def test_usable_backends_and_why_others_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "jax", None)
    offered(monkeypatch, plain=NUMPY, jax="nnx_backends.jax_any:load")
    working, why = backends.usable()
    assert [backend.name for backend in working] == ["numpy"]
    assert list(why) == ["jax"]
    assert "pip install" in why["jax"]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("no_such_package:load", "No module named 'no_such_package'"),
        ("nnx_backends.numpy_cpu:lode", "has no attribute 'lode'"),
        ("antigravity_of_others:load", "SyntaxError: invalid syntax"),
        ("nnx_backends.numpy_cpu", "is no function"),
    ],
)
def test_a_broken_package_spoils_no_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str, words: str
) -> None:
    (tmp_path / "antigravity_of_others.py").write_text("def load(: ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    offered(monkeypatch, plain=NUMPY, broken=value)
    working, why = backends.usable()
    assert [backend.name for backend in working] == ["numpy"]
    assert why["broken"].startswith(f"'broken': {value} ")
    assert words in why["broken"]
    assert "reinstall its package" in why["broken"]
    for get in backends.find, partial(backends.choose, threads=2):
        with pytest.raises(UnusableBackendError) as refused:
            get("broken")
        assert str(refused.value) == why["broken"]


@pytest.mark.parametrize(
    ("name", "raised"),
    [
        ("torch", "OSError: libcudart.so.13: no such file"),
        ("torch", "ImportError: libtorch_cpu.so: undefined symbol: iJIT_NotifyEvent"),
        ("jax", "RuntimeError: jaxlib version 0.4 is older than jax"),
        ("numba", "ValueError: Number of threads specified must be > 0."),
    ],
)
def test_a_library_that_is_broken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, raised: str
) -> None:
    """It is not called missing, and spoils no other backend."""
    kind, _, words = raised.partition(": ")
    (tmp_path / f"{name}.py").write_text(f"raise {kind}({f'{chr(10)}{words}!'!r})")
    for module in [each for each in sys.modules if each.partition(".")[0] == name]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.syspath_prepend(tmp_path)
    folder = "numba_cpu" if name == "numba" else f"{name}_any"
    own = {name: f"nnx_backends.{folder}:load"}
    offered(monkeypatch, numpy=NUMPY, **own)
    working, why = backends.usable()
    assert [backend.name for backend in working] == ["numpy"]
    assert why[name].startswith(f"backend {name!r} cannot be loaded ({raised}!): ")
    assert "check its library and its environment variables" in why[name]
    assert backends.find("auto").name == "numpy"


def test_auto_is_the_first_that_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """A short run takes what is there at once."""
    assert backends.AUTOMATIC == ("numba", "numpy")
    strict = "nnx_backends.strict_cpu:load"
    offered(monkeypatch, numba=strict, strict=strict, numpy=NUMPY)
    assert backends.find("auto").name == backends.choose("auto").name == "strict"
    assert backends.choose("auto", seconds=0.5).name == backends.DEFAULT == "numpy"
    monkeypatch.setitem(sys.modules, "array_api_strict", None)
    assert backends.find("auto").name == backends.choose("auto").name == "numpy"


@pytest.mark.parametrize(
    ("seconds", "name"), [(0.5, "numpy"), (5.0, "numpy"), (60.0, "strict")]
)
def test_auto_weighs_what_is_still_to_be_compiled(
    monkeypatch: pytest.MonkeyPatch, reference: Backend, seconds: float, name: str
) -> None:
    slow = replace(reference, name="strict", first_run=backends.FirstRun(seconds=10.0))
    monkeypatch.setattr(backends, "_automatic", lambda: slow)
    monkeypatch.setattr(backends, "_seconds_passed_up", 0.0)
    offered(monkeypatch, strict="nnx_backends.strict_cpu:load", numpy=NUMPY)
    chosen = backends.choose("auto", seconds=seconds)
    assert chosen.name == name
    assert ("--backend strict is faster" in chosen.first_run.note) == (seconds == 5.0)


def test_auto_counts_what_was_short_before(
    monkeypatch: pytest.MonkeyPatch, reference: Backend
) -> None:
    """Fits of 5 s each, of which 3 would have been saved: the second compiles."""
    slow = replace(reference, name="strict", first_run=backends.FirstRun(seconds=10.0))
    monkeypatch.setattr(backends, "_automatic", lambda: slow)
    monkeypatch.setattr(backends, "_seconds_passed_up", 0.0)
    offered(monkeypatch, strict="nnx_backends.strict_cpu:load", numpy=NUMPY)
    names = [backends.choose("auto", seconds=5.0).name for _ in range(3)]
    assert names == ["numpy", "strict", "strict"]


def test_a_backend_is_its_own_choice(reference: Backend) -> None:
    assert backends.choose(reference) is reference
    assert backends.choose(reference, threads=3, seconds=0.5) is reference


def test_threads_and_a_place_go_to_a_backend_that_takes_them(
    monkeypatch: pytest.MonkeyPatch, reference: Backend
) -> None:
    offered(monkeypatch, team=f"{__name__}:_team", numpy=NUMPY)
    monkeypatch.setitem(sys.modules, __name__, SimpleNamespace(_team=_team(reference)))
    assert backends.choose("team", threads=3).first_run.note == "3 threads in 0"
    assert backends.choose("team", place=2).first_run.note == "1 threads in 2"
    assert backends.choose("team").first_run.note == "1 threads in 0"
    assert backends.choose("numpy", threads=3, place=2).name == "numpy"


def _team(reference: Backend) -> Any:
    def load(threads: int = 1, place: int = 0) -> Backend:
        note = backends.FirstRun(f"{threads} threads in {place}")
        return replace(reference, name="team", first_run=note)

    return load


def test_gpu_is_the_card_or_what_auto_takes_and_why(
    monkeypatch: pytest.MonkeyPatch, reference: Backend
) -> None:
    card = replace(reference, name="cupy", device="cuda:0")
    monkeypatch.setitem(
        sys.modules, __name__, SimpleNamespace(_card=lambda device="0": card)
    )
    offered(monkeypatch, cupy=f"{__name__}:_card", numpy=NUMPY)
    for get in backends.find, backends.choose:
        assert get("gpu") is get("gpu", device="1") is card
    team = _team(reference)
    monkeypatch.setitem(sys.modules, __name__, SimpleNamespace(_team=team))
    monkeypatch.setattr(backends, "_automatic", team)
    offered(
        monkeypatch,
        cupy="nnx_backends.cupy_gpu:load",
        team=f"{__name__}:_team",
        numpy=NUMPY,
    )
    monkeypatch.setitem(sys.modules, "cupy", None)
    why = "no GPU can be used: backend 'cupy' needs CuPy, which is not installed: pip "
    for seconds, name, more in (0.5, "numpy", ""), (60.0, "team", "; 3 threads in 0"):
        chosen = backends.choose("gpu", threads=3, seconds=seconds)
        assert chosen.name == name
        assert chosen.first_run.note.startswith(why)
        assert chosen.first_run.note.endswith(f"(or [cuda13]){more}")
    with pytest.raises(MissingLibraryError):
        backends.find("gpu")
    with pytest.raises(MissingLibraryError):
        backends.choose("gpu", device="1")


@pytest.mark.parametrize("name", ["auto", "numpy"])
def test_an_option_that_a_backend_does_not_take(name: str) -> None:
    says = f"backend '{name}' takes no device, and 'cuda:1' was given; choose a --backe"
    for get in (backends.find, backends.choose):
        with pytest.raises(InputError, match=says):
            get(name, device="cuda:1")
