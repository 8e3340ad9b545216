"""Many training steps in one compiled call, by a team of threads.

A step is a list of kernels with barriers between them (`program`). Every thread runs
the whole list, with a rank of its own. Threads divide narrow layers and the first layer
by images, and other wide layers by units, so that each thread's part of a wide weight
stays in its own cache. Between two barriers, no thread writes what another reads.
"""

import numpy as np

from nnx.maths.blocks import BLOCK
from nnx_backends.numba_cpu.cache import cached_njit, inner_njit
from nnx_backends.numba_cpu.kernel import call
from nnx_backends.numba_cpu.team import barrier

# A kernel's address and its layer's number; address 0 stands for a barrier.
CALL = np.dtype([("address", np.int64), ("layer", np.int64)], align=True)


@cached_njit(nogil=True)
def train(team, runs, layers, hypers, steps, every_block, every_step):
    """Take a run's next steps, as one thread of a team.

    runs: (1,) of `records.run_dtype`; layers: (layers,) of `records.LAYER`
    hypers: records of `records.HYPER`, one per step, or a single one for all steps,
        which then stays in the cache
    steps: (team,) of `records.STEP`
    every_block, every_step: records of `CALL`
    """
    run, step = runs[0], steps[team.rank]
    step.rank, step.size = team.rank, team.size
    for i in range(run.steps):
        now = run.begin + i
        hyper = hypers[min(now, len(hypers) - 1)]
        step.number, step.first = run.first_step + now, now * run.batch_size
        step.whole = min(run.batch_size, run.images - step.first)
        step.top, bottom = run.top, min(run.bottom, step.whole)
        for row in range(step.top, bottom, BLOCK):
            step.row, step.batch = row, min(BLOCK, bottom - row)
            _execute(every_block, team, run, layers, step, hyper)
            step.turn = 1 - step.turn
        _execute(every_step, team, run, layers, step, hyper)


@inner_njit()
def _execute(program, team, run, layers, step, hyper):
    """Run a list of kernels and barriers."""
    for k in range(len(program)):
        if program[k].address == 0:
            barrier(team)
        else:
            call(program[k].address, run, layers[program[k].layer], step, hyper)
