"""The run itself: it opens the folder, trains, reports progress and writes results."""

import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

from nnx import blas, files
from nnx.automatic import seconds_of
from nnx.backend import Backend
from nnx.communicator import first_rank
from nnx.data.dataset import Dataset
from nnx.errors import DivergedError, OutOfMemoryError, WriteError
from nnx.maths.blocks import BLOCK
from nnx.maths.shards import ALONE, Communicator
from nnx.model_file import CHECKPOINT_NAME, MODEL_NAME
from nnx.network import Network
from nnx.settings import Settings
from nnx.training import checkpoint, diagnose, events, log, loop, processes, windows
from nnx.training import folder as run_folder
from nnx.training.plan import Progress
from nnx.training.prepare import (
    batch_size,
    first_position,
    fitted,
    plan_of,
    split_validation,
    steps_per_epoch,
)
from nnx.training.result import Result, result_of
from nnx.training.saving import Saved, is_due, is_saved, keep

DISTORTION_SECONDS = 1e-4  # per image on the CPU, roughly


class Run:
    """A training run, with or without a folder; iterate over it, or call `follow`.

    network: the initial network, fitted to the data
    data: its training part is without images held out for validation
    digest: of all the data; empty if there is no folder and only one process
    position: the current position of the run
    resumed: whether the run continues from a checkpoint
    rounds: descriptions of changes to a resumed run that affect rounding
    """

    def __init__(
        self,
        network: Network,
        data: Dataset,
        settings: Settings,
        *,
        backend: str | Backend = "auto",
        out: str | PathLike[str] | None = None,
        resume: bool = False,
        overwrite: bool = False,
        tensorboard: bool = False,
        communicator: Communicator = ALONE,
        **options: Any,
    ) -> None:
        """Check that everything fits, prepare the folder, and move data to the device.

        settings: complete, see `nnx.settings.complete`
        options: as for `nnx.backend.choose`; other arguments as for `nnx.train`

        Raises:
            InputError: settings, network, data and folder do not fit each other
            BackendError: the backend cannot be used
            OutOfMemoryError: the device has too little memory
        """
        self.network = fitted(network, data, settings)
        options["seconds"] = _seconds(network, data, settings)
        chosen = processes.choose_alike(backend, communicator, **options)
        self.backend, shards = processes.share(chosen, settings, communicator)
        communicator = self.communicator
        window = windows.kept(settings, data, self.backend, resume)
        self.settings: Settings = {**settings, "backend": chosen.name, "shards": shards}
        self.settings["window"] = communicator.broadcast(window)
        self.folder = None if out is None or communicator.rank > 0 else Path(out)
        self._release: Callable[[], object] | None = None
        self.resumed, self.rounds = resume, tuple[str, ...]()
        self.tensorboard = tensorboard and communicator.rank == 0
        if self.tensorboard:
            events.require(self.folder)
        self._batch_size = batch_size(data, settings)
        self.digest = processes.digest_of(data, communicator, needed=out is not None)
        self.data, self.validation = split_validation(data, settings)
        with self.scope():
            self.plan = plan_of(
                self.network, self.data, self.validation, self.settings, self.backend
            )
            self.position = first_position(self.network, self.plan)
            if out is not None:
                self._open(Path(out), overwrite=overwrite)
        self._saved = Saved.now(self.position, time.monotonic())

    @property
    def communicator(self) -> Communicator:
        """The processes that train together; rank 0 has the folder."""
        return self.backend.ops.communicator

    def _open(self, folder: Path, *, overwrite: bool) -> None:
        """Claim the folder, and if resumed load the position from its checkpoint."""
        try:
            first_rank(self.communicator, partial(self._claim, overwrite=overwrite))
            if self.resumed:
                path = folder / CHECKPOINT_NAME
                self.position, self.rounds = checkpoint.load(path, self)
            first_rank(self.communicator, self._describe)
        except BaseException:
            self.close()
            raise

    def _claim(self, *, overwrite: bool) -> None:
        if self.folder is not None:
            self._release = weakref.finalize(self, run_folder.claim(self.folder))
            run_folder.prepare(self.folder, resume=self.resumed, overwrite=overwrite)

    def _describe(self) -> None:
        """Write the settings, and remove pictures that training will make outdated."""
        if self.folder is not None:
            if not self.plan.is_done(self.position):
                run_folder.remove(self.folder, *run_folder.DRAWN)
            run_folder.save_settings(self.folder, self.settings)

    def close(self) -> None:
        """Release the folder for other runs, as the end of the run or process does."""
        if self._release is not None:
            self._release()

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Compute on the backend's device; if out of memory, suggest smaller sizes."""
        # Larger batches are computed in blocks.
        images = min(self._batch_size, BLOCK)
        largest = max(layer.weight.size for layer in self.network.layers)
        # In shards, BLAS has one thread per process: the last bits of its results
        # depend on the number of threads.
        products = images * largest if self.settings["shards"] == 1 else 0
        try:
            with blas.threads_for(products), self.backend.scope():
                yield
        except OutOfMemoryError as error:
            smaller = images // 2
            batch = f"--batch-size {smaller} or " if smaller else ""
            raise OutOfMemoryError(f"{error}; try {batch}a smaller --hidden") from None

    @property
    def way(self) -> str:
        """How the backend takes this run's steps, in words; known once it compiled."""
        state, hyper = self.position.state, self.plan.hyper
        return self.backend.first_run.steps(state, hyper, self.communicator)

    def compile(self) -> Iterator[float]:
        """Compile what the backend needs for the first step; yield the share done."""
        if not self.plan.is_done(self.position):
            state, plan = self.position.state, self.plan
            with self.scope():
                compile_parts = self.backend.first_run.compile
                yield from compile_parts(state, windows.sample(plan), plan.hyper)

    def __iter__(self) -> Iterator[Progress]:
        """Train, and yield the progress about ten times a second; use in `scope`."""
        fit = diagnose.fit if self.settings["debug_nan"] else loop.fit
        for progress in fit(self.plan, self.position):
            self.position = progress.position
            yield progress

    def follow(
        self,
        on_progress: Callable[[Progress], None] = lambda progress: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Result:
        """Train to the end, or until `should_stop` returns true; return the result.

        on_progress, should_stop: as for `nnx.train`

        Raises:
            DivergedError: the loss is no longer finite
            OutOfMemoryError: the device has too little memory
            WriteError: a file cannot be written
        """
        began = self.position
        with self.scope(), self._events() as write_row:
            with self._saved_at_the_end():
                for progress in self:
                    stop = self.communicator.total([int(bool(should_stop()))])
                    if is_due(
                        self._saved, self.position, self.settings, time.monotonic()
                    ):
                        self.save()
                    if progress.epoch_ended:
                        write_row(progress.position.log[-1])
                    on_progress(progress)
                    if stop:
                        break
            result = result_of(self, trained=self.position is not began)
        if self.folder is not None:
            result.network.save(self.folder / MODEL_NAME)
        return result

    def save(self) -> None:
        """Write the checkpoint and the log; do nothing without a folder."""
        if self.folder is None or is_saved(self._saved, self.position):
            return
        began = time.monotonic()
        keep(self.folder, self._saved.step, self.settings["keep_checkpoints"])
        checkpoint.save(self.folder / CHECKPOINT_NAME, self)
        # If the run is killed now, the checkpoint has the latest network.
        run_folder.remove(self.folder, MODEL_NAME)
        self._write_logs()
        ended = time.monotonic()
        self._saved = Saved.now(self.position, ended, ended - began)

    def _write_logs(self) -> None:
        if self.folder is not None:
            rows = self.position.log
            files.write(self.folder / run_folder.LOG_NAME, log.as_csv(rows))
            files.write(self.folder / run_folder.LOG_JSON_NAME, log.as_jsonl(rows))

    @contextmanager
    def _saved_at_the_end(self) -> Iterator[None]:
        """Save the run when training inside ends, unless writing a file failed.

        If training diverged, only the log is written: the last checkpoint is better
        than the diverged state.
        """
        try:
            yield
        except WriteError:
            raise
        except BaseException as error:
            with suppress(Exception):  # a device that failed cannot be read
                if not isinstance(error, DivergedError):
                    self.save()
            self._write_logs()
            raise
        self.save()

    @contextmanager
    def _events(self) -> Iterator[Callable[[log.Row], None]]:
        """Provide a function that writes an epoch's row for TensorBoard, if enabled."""
        if self.folder is None or not self.tensorboard:
            yield lambda row: None
            return
        with events.written(self.folder, self.position) as write_row:
            yield write_row


def _seconds(network: Network, data: Dataset, settings: Settings) -> float:
    """Estimate the seconds that a run takes with the plain maths on the CPU."""
    n = len(data.train.labels)
    seconds = seconds_of(steps_per_epoch(data, settings), n, network.parameters)
    if settings["augment"]:
        seconds += n * DISTORTION_SECONDS
    return settings["epochs"] * seconds
