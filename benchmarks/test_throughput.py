"""Throughput of every implementation on every workload, with pytest-benchmark.

    pytest benchmarks -n 0 --benchmark-only -k "classic and not compiled"

An implementation that does not agree with float64 fails. Compare implementations by
`nnx bench`, which takes their epochs in turn, and versions of one implementation by
this. Images are MNIST's if NNX_DATA_DIR or the cache has it, or else random bytes.
"""

from typing import Any

import pytest

from nnx.cores import available
from nnx.data.dataset import Dataset
from nnx_benchmarks import agreement, choose, data, measure
from nnx_benchmarks.floor import Products
from nnx_benchmarks.trainer import Implementation
from nnx_benchmarks.workloads import PLAIN

IMPLEMENTATIONS = choose.implementations("all", choose.RIVALS, print)
ROUNDS = 3


@pytest.fixture(scope="module")
def images() -> Dataset:
    return data.images()


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS, ids=lambda i: i.name)
@pytest.mark.parametrize("key", PLAIN)
def test_epoch(
    benchmark: Any, key: str, implementation: Implementation, images: Dataset
) -> None:
    benchmark.group = key
    workload = PLAIN[key]
    problem = data.problem(workload, images.train)
    reference = agreement.reference(problem)
    agreed, trainer = agreement.check(implementation, problem, reference)
    assert trainer is not None, agreed.wrong
    benchmark.extra_info.update(agreed._asdict())
    order = measure.order(problem, epoch=1)
    benchmark.pedantic(
        trainer.epoch,
        (order, workload.learning_rate),
        rounds=ROUNDS,
        warmup_rounds=1,
    )


@pytest.mark.parametrize("threads", sorted({1, available()}))
@pytest.mark.parametrize("key", PLAIN)
def test_floor(benchmark: Any, key: str, threads: int) -> None:
    benchmark.group = key
    products = Products(PLAIN[key])
    args = data.IMAGES, threads
    benchmark.pedantic(products.seconds, args, rounds=ROUNDS, warmup_rounds=1)
