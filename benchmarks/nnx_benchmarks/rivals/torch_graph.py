"""PyTorch on a card with whole steps captured as CUDA graphs, which are replayed.

There is one graph of a step for each of the two sizes of a batch and each learning
rate. Before each replay, the batch's indices are copied to where the graph reads them.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeAlias

import torch

from nnx.data.dataset import Array
from nnx.maths.state import Layers
from nnx_benchmarks.rivals.torch_eager import TorchTrainer, optimizer
from nnx_benchmarks.trainer import Implementation
from nnx_benchmarks.workloads import Problem

Work: TypeAlias = Callable[[], Any]
WARM_UP = 3  # calls before a capture, in which libraries allocate what they keep


def captured(work: Work) -> Work:
    """Return a function that does the work again, by a CUDA graph of it."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP):
            work()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    # Threads of other libraries may call the device meanwhile.
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        work()
    replay: Work = graph.replay
    return replay


class GraphTrainer(TorchTrainer):
    """Like the eager one, but all that a step reads and writes stays in one place.

    capture: `captured`, or another function that returns the repetition of work
    """

    def __init__(
        self,
        problem: Problem,
        device: str = "cuda",
        capture: Callable[[Work], Work] = captured,
    ) -> None:
        super().__init__(problem, device, compiled=False)
        self.capture = capture
        self.total = torch.zeros((), dtype=self.images.dtype, device=device)
        self.steps: dict[tuple[int, float], tuple[Any, Work]] = {}
        self.optimizer = optimizer(self.network, self.hyper, capturable=True)
        # The optimizer makes its arrays in its first step.
        for parameter in self.network.parameters():
            parameter.grad = torch.zeros_like(parameter)
        self.optimizer.step()

    def load(self, layers: Layers) -> None:
        """Restart training from a copy of these weights."""
        self.copy(layers)
        for array in self._memory():
            array.zero_()

    def epoch(self, order: Array, learning_rate: float) -> float:
        """Train on these images; return their mean loss."""
        batches = self.batches(order)
        steps = {n: self._step_of(n, learning_rate) for n in {*map(len, batches)}}
        self.total.zero_()
        for batch in batches:
            index, replay = steps[len(batch)]
            index.copy_(batch)
            replay()
        return float(self.total.item()) / len(order)

    def _step_of(self, size: int, learning_rate: float) -> tuple[Any, Work]:
        """Return the array from which a step reads its indices, and its replay."""
        key = size, learning_rate
        if key not in self.steps:
            self.set_rate(learning_rate)
            index = torch.zeros(size, dtype=torch.int64, device=self.device)
            changed = [*self.network.parameters(), *self.network.buffers()]
            changed += self._memory()
            before = [array.detach().clone() for array in changed]
            replay = self.capture(partial(self._add_step, index))
            with torch.no_grad():
                for array, saved in zip(changed, before, strict=True):
                    array.copy_(saved)
            self.steps[key] = index, replay
        return self.steps[key]

    def _add_step(self, index: Any) -> None:
        self.total += self.step(index)

    def _memory(self) -> Iterator[Any]:
        """Yield the optimizer's arrays."""
        for arrays in self.optimizer.state.values():
            yield from (array for array in arrays.values() if array is not None)


def implementations() -> list[Implementation]:
    """Return the implementation if there is a CUDA device."""
    if not torch.cuda.is_available():
        return []
    dtypes = "float32", "float64"
    return [Implementation("PyTorch graph, CUDA", GraphTrainer, dtypes, card=True)]
