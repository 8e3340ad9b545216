"""A GPU that is missing, out of memory or failing: one line, and nothing is lost.

`tests/fake_cuda` stands in for CuPy, and fails as it is told.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
Refused = Callable[..., str]
FAKE = Path(__file__).parents[1] / "fake_cuda"
TRAIN = "train", "--dataset", "squares", "--backend", "cupy"


def fake(fault: str = "", **variables: str) -> dict[str, str]:
    """Return the variables with which CuPy is the stand-in, and fails so."""
    return {"PYTHONPATH": str(FAKE), "FAKE_CUDA": fault} | variables


AT_FIRST = {
    "missing": ("needs CuPy, which is not installed", "pip install 'nnx-mlp[cuda12]'"),
    "broken": ("libcudart.so.12: cannot open", "pip install 'nnx-mlp[cuda12]'"),
    "no-driver": ("finds no NVIDIA driver", "nvidia-smi", "another --backend"),
    "old-driver": ("driver for CUDA 11.8,", "CuPy's CUDA 12.9:", "update the driver"),
    "no-device": ("no CUDA-capable device", "nvidia-smi lists", "CUDA_VISIBLE_DEVICES"),
    "library": ("lacks a part of CUDA", "libnvrtc.so.12", "pip install"),
    "late-library": ("lacks a part of CUDA", "libcublas.so.12", "pip install"),
    "headers": ("lacks a part of CUDA", "CUDA headers", "nnx-mlp[cuda12]"),
    "reduction": ("cannot compile a kernel (Runtime compilation", "pip install"),
    "sort": ("no kernel image", "no kernels for so old or new a card", "pip install"),
    "compile": (
        "cannot compile a kernel",
        'identifier "half" is undefined',
        "pip install",
    ),
    "no-cache": (
        "cannot create the folder for its kernels",
        ".cupy",
        "set CUPY_CACHE_DIR",
    ),
    "cache": ("cannot keep its kernels", "kernel_cache", "CUPY_CACHE_IN_MEMORY=1"),
    "full-cache": ("No space left on device", "CUPY_CACHE_DIR"),
}


@pytest.mark.parametrize("fault", AT_FIRST)
def test_44_46_what_cannot_work_is_refused_before_data_are_read(
    refused: Refused, old_run: Path, fault: str
) -> None:
    """And before the run in the folder is replaced."""
    new = "--out", old_run, "--overwrite", "--dataset", "not there"
    refused(*TRAIN, *new, env=fake(fault), says=AT_FIRST[fault])


def test_45_a_card_that_others_have_filled(refused: Refused, old_run: Path) -> None:
    says = ("out of memory on cuda:0: free 1.0 GiB",)
    refused(*TRAIN, "--out", "new", env=fake("full"), status=4, says=says)


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ((*TRAIN, "--device", "2"), "no device 2; there are 2, from 0"),
        ((*TRAIN, "--device", "cuda:17"), "no device 17; there are 2"),
        ((*TRAIN, "--device", "mps"), "devices 0, 1, … or cuda:0, not 'mps'"),
        (("train", "--device", "0"), "backend 'auto' takes no device"),
        (("train", "--backend", "numpy", "--device", "0"), "'numpy' takes no device"),
        (("evaluate", "old run", "--device", "0"), "'numpy' takes no device"),
        (("predict", "old run", "a.png", "--device", "0"), "'numpy' takes no device"),
        (("gradcheck", "--device", "0"), "'numpy' takes no device"),
        (("gradcheck", "--backend", "all", "--device", "0"), "goes with one --backend"),
        (("parity", "--device", "0"), "goes with one --backend"),
        (("parity", "--backend", "numpy", "--device", "0"), "'numpy' takes no device"),
        (("train", "--precision", "tf32"), "'auto' takes no precision"),
        (
            ("train", "--backend", "numpy", "--precision", "tf32"),
            "'numpy' takes no precision",
        ),
        (
            ("train", "--backend", "numba", "--precision", "tf32"),
            "'numba' must be one of full, bf16, not 'tf32'",
        ),
        (
            (*TRAIN, "--precision", "half"),
            "must be one of full, tf32, bf16, not 'half'",
        ),
    ],
    ids=lambda value: " ".join(value[-4:]) if isinstance(value, tuple) else "",
)
def test_devices_and_precisions_that_are_not_there(
    refused: Refused, old_run: Path, command: tuple[str, ...], says: str
) -> None:
    refused(*command, env=fake(), says=(says,))


def test_a_precision_that_a_card_has_not(refused: Refused, old_run: Path) -> None:
    tf32 = *TRAIN, "--precision", "tf32"
    old = fake(FAKE_CAPABILITY="75")
    refused(*tf32, env=old, says=("no TF32: its compute capability is 7.5",))
    forbidden = fake(NVIDIA_TF32_OVERRIDE="0")
    refused(*tf32, env=forbidden, says=("NVIDIA_TF32_OVERRIDE=0 forbids TF32",))
    bf16 = *TRAIN, "--precision", "bf16"
    refused(*bf16, env=old, says=("no BF16: its compute capability is 7.5",))


FREE = "needs 1.5 GiB, free 1.0 GiB;", "try --batch-size 15 or a smaller --hidden"
LIMITED = "free 1023.0 MiB of a limit of 1.0 GiB; try --batch-size 15 or"
IN_TRAINING = {
    "oom": (4, fake("oom"), ("out of memory on cuda:0: ", *FREE)),
    "limit": (4, fake("oom", CUPY_GPU_MEMORY_LIMIT=str(2**30)), (LIMITED,)),
    "sticky": (2, fake("sticky"), ("cuda:0 (cudaErrorIllegalAddress: ", "--resume")),
}


@pytest.mark.parametrize("fault", IN_TRAINING)
def test_45_46_what_fails_in_training_leaves_the_checkpoint(
    done: Run, run: Run, old_run: Path, cwd: Path, fault: str
) -> None:
    """An epoch here is one batch, of all 30 images; the ninth fails."""
    status, env, says = IN_TRAINING[fault]
    shutil.copytree(old_run, cwd / "whole")
    resume = "train", "--resume", "--quiet", "--epochs", 20, "--backend", "cupy"
    done(*resume, "--out", "whole", env=fake())
    ran = run(*resume, "--out", old_run, env=env)
    assert (ran.returncode, ran.stdout) == (status, ""), ran.stderr
    (line,) = ran.stderr.splitlines()
    assert all(words in line for words in says), line
    assert len((old_run / "log.csv").read_text().splitlines()) == 1 + 1 + 8
    ran = done(*resume, "--out", old_run, env=fake())
    one, other = (p / "model.safetensors" for p in (old_run, cwd / "whole"))
    assert one.read_bytes() == other.read_bytes()


def test_info_says_why_a_gpu_is_not_usable(run: Run) -> None:
    ran = run("info", env=fake("no-driver"))
    assert ran.returncode == 0
    assert "backend cupy: not usable: backend 'cupy' finds no NVIDIA" in ran.stdout
    assert (
        "backend cupy: usable, on cuda:0 (Stand-in)" in run("info", env=fake()).stdout
    )


def test_tf32_is_said_wherever_results_are(
    done: Run, run: Run, old_run: Path, cwd: Path
) -> None:
    """And a resumed run keeps it."""
    tf32 = *TRAIN, "--precision", "tf32", "--device", "cuda:1", "--epochs", 2
    ran = done(*tf32, "--out", "new", env=fake())
    assert "cupy on cuda:1 (Stand-in)" in ran.stderr
    assert "cupy: float32 products in TF32" in ran.stderr
    assert ran.stdout.splitlines()[0].endswith("; precision tf32")
    resume = "train", "--out", "new", "--resume", "--epochs", 3, "--json"
    found = json.loads(run(*resume, env=fake()).stdout)
    assert (found["precision"], found["device"]) == ("tf32", "cuda:0 (Stand-in)")
    assert 'precision = "tf32"' in (cwd / "new" / "config.toml").read_text()
    found = json.loads(run(*resume, "--precision", "full", env=fake()).stdout)
    assert found["precision"] == "full"


def test_gpu_is_the_card_if_there_is_one(
    done: Run, run: Run, old_run: Path, cwd: Path
) -> None:
    """And otherwise the processor, of which a line says why."""
    train = "train", "--dataset", "squares", "--backend", "gpu", "--epochs", 1
    for options, env, where in (
        ((), fake(), "cupy on cuda:0 (Stand-in)"),
        (("--device", "1"), fake(), "cupy on cuda:1 (Stand-in)"),
        ((), fake("no-driver"), "numpy on cpu"),
    ):
        ran = done(*train, *options, "--out", "new", "--overwrite", env=env)
        assert where in ran.stderr
    says = "numpy: no GPU can be used: backend 'cupy' finds no NVIDIA driver"
    for command in (
        ("evaluate", old_run, "--backend", "gpu"),
        ("train", "--out", "new", "--resume", "--backend", "gpu", "--epochs", 2),
    ):
        ran = done(*command, env=fake("no-driver"))
        assert says in ran.stderr
    assert 'backend = "numpy"' in (cwd / "new" / "config.toml").read_text()
    ran = run("predict", old_run, "a.png", "--backend", "gpu", env=fake("no-driver"))
    assert says in ran.stderr


def test_a_card_that_is_named_is_had_or_refused(
    refused: Refused, old_run: Path
) -> None:
    for given in ("--device", "1"), ("--precision", "tf32"):
        train = "train", "--dataset", "squares", "--backend", "gpu", *given
        refused(*train, env=fake("no-driver"), says=("finds no NVIDIA driver",))
    check = "gradcheck", "--backend", "gpu"
    refused(*check, env=fake("no-driver"), says=("finds no NVIDIA driver",))
