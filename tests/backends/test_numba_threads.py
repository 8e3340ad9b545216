"""A team has as many threads as it has cores to itself; its size changes no bits."""

import os
import time
from itertools import cycle
from threading import Thread
from typing import Any

import numpy as np
import pytest
from bits import assert_same_bits

pytest.importorskip("numba")

from nnx_backends.numba_cpu import run
from nnx_backends.numba_cpu import threads as of_team
from nnx_backends.numba_cpu.threads import FIRST_PAUSE, LAST_PAUSE, PERIOD, Threads

from nnx import Network, find
from nnx.maths.hyperparameters import Distortion, Hyperparameters, Schedule
from nnx.maths.state import Images, State, initial_state

EVERYTHING = {
    "optimizer": "adam", "momentum": 0.9, "beta2": 0.999, "batch_norm": True,
    "dropout": 0.3, "input_dropout": 0.1, "input_noise": 0.1, "clip_norm": 1.0,
    "l1": 1e-4, "l2": 1e-4, "weight_decay": 1e-4, "max_norm": 1.0, "ema_decay": 0.9,
    "label_smoothing": 0.1, "class_weights": (0.5, 1.0, 2.0),
    "schedule": Schedule("cosine"), "epochs": 2, "image_shape": (5, 5),
    "augment": Distortion(shift=1.0, rotation=10.0, elastic=8.0),
}  # fmt: skip
named = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="cores have no names"
)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Give the time, in a list, that only the test moves on."""
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    return now


def _took(team: Threads, *shares: float, seconds: float = PERIOD) -> None:
    """Tell a team what share of a core each of its threads had."""
    wall = np.full(len(shares), seconds)
    team._follow(list(range(len(shares))), np.stack([wall, wall * shares]))


def test_a_thread_that_shares_its_core_is_left_out_and_comes_back(
    clock: list[float],
) -> None:
    team = Threads(4)
    _took(team, 1.0, 0.5, 0.95, 0.99)
    assert (team.size(9), team.size(2)) == (3, 2)
    clock[0] += FIRST_PAUSE
    assert team.size(9) == 4


def test_the_pause_grows_until_all_have_a_core(clock: list[float]) -> None:
    team = Threads(2)
    for pause in FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE:
        _took(team, 1.0, 0.5)
        _took(team, 1.0)  # which says nothing of the other core
        clock[0] += 0.9 * pause
        assert team.size(9) == 1
        clock[0] += 0.2 * pause
        assert team.size(9) == 2
    _took(team, 1.0, 1.0)
    _took(team, 0.5, 0.5)
    assert team.size(9) == 1
    clock[0] += FIRST_PAUSE
    assert team.size(9) == 2
    for _ in range(9):
        _took(team, 1.0, 0.5)
        clock[0] += LAST_PAUSE
        assert team.size(9) == 2


def test_a_moment_says_nothing(clock: list[float]) -> None:
    """Whoever has a core for a hundredth of a second is not busy."""
    team = Threads(2)
    _took(team, 1.0, 0.1, seconds=PERIOD / 4)
    assert team.size(9) == 2
    _took(team, 1.0, 1.0, seconds=PERIOD * 3 / 4)
    assert team.size(9) == 2
    for _ in range(5):
        _took(team, 1.0, 0.5, seconds=PERIOD / 4)
    assert team.size(9) == 1


def test_a_team_is_followed_as_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    shared = list[set[int | None]]()

    def cores(size: int, taken: set[int | None]) -> list[int | None]:
        shared.append(taken)
        return [None] * size

    monkeypatch.setattr(of_team, "_cores", cores)
    team = Threads(3)
    team.run(3, lambda member: time.sleep(2 * PERIOD))
    assert team.size(9) == 1
    team.run(2, lambda member: None)
    time.sleep(FIRST_PAUSE)
    team.run(team.size(9), lambda member: None)
    assert shared == [set(), {None}, set()]


@named
def test_a_thread_has_a_core_for_a_call_or_does_without() -> None:
    before = os.sched_getaffinity(0)
    taken_away = 1023
    for core in min(before), taken_away:
        with of_team._on_core(core):
            assert os.sched_getaffinity(0) in ({core}, before)
        assert os.sched_getaffinity(0) == before


def test_no_thread_waits_for_those_that_a_signal_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun, start = list[Thread](), Thread.start

    def second_is_stopped(thread: Thread) -> None:
        if begun:
            raise KeyboardInterrupt
        begun.append(thread)
        start(thread)

    monkeypatch.setattr(Thread, "start", second_is_stopped)
    with pytest.raises(KeyboardInterrupt):
        Threads(3).run(3, lambda member: None)
    begun[0].join(10)
    assert not begun[0].is_alive()


@named
def test_cores_that_others_keep_are_taken_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(of_team.os, "sched_getaffinity", lambda _: set(range(4)))
    every = of_team._cores(4, set())
    assert sorted(c for c in every if c is not None) == [0, 1, 2, 3]
    assert every[0] not in of_team._cores(3, {every[0]})
    assert of_team._cores(5, set()) == [None] * 5


@named
def test_slow_cores_are_taken_after_the_fast_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """--threads may ask for more than these; each thread has a core even then."""
    monkeypatch.setattr(of_team.os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(of_team, "preferred", lambda: {4, 5, 6, 7})
    assert set(of_team._cores(4, set())) == {4, 5, 6, 7}
    six = set(of_team._cores(6, set()))
    assert len(six) == 6
    assert six > {4, 5, 6, 7}
    assert 5 not in of_team._cores(7, {5})


def test_no_team_is_empty_or_too_large() -> None:
    assert (Threads(3).size(0), Threads(3).size(100)) == (1, 3)


def test_a_thread_that_cannot_be_started_is_done_without(
    monkeypatch: pytest.MonkeyPatch, clock: list[float]
) -> None:
    """As where a user may have no more of them; after a pause the team may have all."""
    begun, ran, start = list[Thread](), list[tuple[int, int]](), Thread.start

    def second_fails(thread: Thread) -> None:
        if begun:
            raise RuntimeError("can't start new thread")
        begun.append(thread)
        start(thread)

    def noted(member: Any) -> None:
        ran.append((member.rank, member.size))

    affinity = getattr(os, "sched_getaffinity", lambda _: None)  # macOS has none
    team, cores = Threads(3), affinity(0)
    with monkeypatch.context() as patched:
        patched.setattr(Thread, "start", second_fails)
        team.run(3, noted)
    begun[0].join(10)
    assert not begun[0].is_alive()
    assert (ran, team.size(9)) == ([(0, 1)], 2)
    assert affinity(0) == cores
    clock[0] += FIRST_PAUSE
    team.run(team.size(9), noted)
    assert sorted(ran[1:]) == [(0, 3), (1, 3), (2, 3)]


def _trained(monkeypatch: pytest.MonkeyPatch, *sizes: int) -> State:
    """Return what two epochs of everything lead to, with teams of these sizes in turn.

    A step in each call.
    """
    turn = cycle(sizes)
    monkeypatch.setattr(Threads, "size", lambda self, most: min(next(turn), most))
    rng = np.random.default_rng(0)
    network = Network((25, 70, 9, 3), "gelu", seed=1, dtype="float32")
    pixels = rng.integers(0, 256, (90, 25)).astype(np.uint8)
    images = Images(pixels, rng.integers(0, 3, 90))
    hyper = Hyperparameters(network.activation, 1 / 255, 20, **EVERYTHING)
    backend: Any = find("numba")
    state = initial_state(network.layers, hyper, backend.ops)
    for _ in range(10):
        state = backend.run_steps(state, images, np.arange(90), 1, hyper)
    return state


def test_a_team_that_shrinks_and_grows_gives_the_same_bits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alone = _trained(monkeypatch, 1)
    for sizes in (4, 2), (1, 3, 4), (3, 3, 2):
        assert_same_bits(_trained(monkeypatch, *sizes), alone)


def test_little_work_starts_no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step of 20 images is not quite worth a second thread, and two steps are."""
    monkeypatch.setattr(run, "STEPS_WORTH_A_THREAD", 3 * 20 * 32)
    sizes, run_team = list[int](), Threads.run

    def recorded(self: Threads, size: int, *others: Any) -> None:
        sizes.append(size)
        run_team(self, size, *others)

    monkeypatch.setattr(Threads, "run", recorded)
    network, backend = Network((4, 6), "relu", seed=1), find("numba", threads=3)
    images = Images(np.eye(4, dtype=np.uint8)[[0, 1, 2, 3] * 15], np.arange(60) % 6)
    hyper = Hyperparameters(network.activation, 1.0, 20)
    for count in 0, 1, 2, 3:
        start = initial_state(network.layers, hyper, backend.ops)
        backend.run_steps(start, images, np.arange(60), count, hyper)
    assert sizes == [1, 1, 2, 3]


def test_panels_for_any_team_give_the_same_bits() -> None:
    """How wide panels are depends on the team; where long sums are cut must not."""
    rng, results = np.random.default_rng(0), []
    network = Network((30, 100, 1400, 3), "relu", seed=1, dtype="float32")
    images = Images(rng.integers(0, 256, (8, 30), np.uint8), rng.integers(0, 3, 8))
    hyper = Hyperparameters(network.activation, 1 / 255, 8, learning_rate=0.1)
    for threads in 1, 3, 44:
        backend = find("numba", threads=threads)
        start = initial_state(network.layers, hyper, backend.ops)
        results.append(backend.run_steps(start, images, np.arange(8), 1, hyper))
    for other in results[1:]:
        assert_same_bits(other, results[0])
