"""The walls: which room may import what, and how big a room may grow."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ROOT / "nnx", ROOT / "backends" / "nnx_backends"
MODULES = sorted(path for room in ROOMS for path in room.rglob("*.py"))
MATHS = sorted((ROOT / "nnx" / "maths").glob("*.py"))
LIBRARIES = {
    "numpy", "np", "cupy", "cp", "numba", "torch", "jax", "jnp", "scipy",
    "array_api_compat", "array_api_strict", "nnx_backends",
}  # fmt: skip
# What no import of nnx may load; the command that needs it does.
HEAVY = {"cupy", "numba", "torch", "jax", "matplotlib", "sklearn", "scipy", "PIL"}
MOST_LINES, MOST_FUNCTION_LINES = 300, 60


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _imported(tree: ast.AST) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


@pytest.mark.parametrize("path", MATHS, ids=_name)
def test_the_maths_names_no_array_library(path: Path) -> None:
    tree = ast.parse(path.read_text())
    tops = {name.partition(".")[0] for name in _imported(tree)}
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert not (tops | names) & LIBRARIES


@pytest.mark.parametrize("path", MATHS, ids=_name)
def test_the_maths_imports_only_the_maths(path: Path) -> None:
    imported = _imported(ast.parse(path.read_text()))
    own = {name for name in imported if name.startswith("nnx")}
    assert all(name.startswith("nnx.maths") for name in own)


@pytest.mark.parametrize("path", MATHS, ids=_name)
def test_the_maths_calls_no_method_that_is_not_in_the_standard(path: Path) -> None:
    """`x.sum()` works on some libraries; the standard has `xp.sum(x)` alone."""
    shortcuts = {
        "sum", "max", "min", "mean", "argmax", "argmin", "astype", "reshape", "dot",
        "sort", "clip", "item", "copy", "take", "ravel", "flatten", "transpose", "std",
    }  # fmt: skip
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            called, owner = node.func.attr, node.func.value
            of_namespace = ast.unparse(owner) in ("xp", "kernels.xp")
            assert of_namespace or called not in shortcuts, ast.unparse(node)


@pytest.mark.parametrize("path", MATHS, ids=_name)
def test_the_maths_calls_nothing_that_waits_for_a_gpu(path: Path) -> None:
    """What picks by a mask must first know how many; array-api-compat's clip does."""
    waiting = {
        "clip", "nonzero", "isin", "unique_all", "unique_counts", "unique_inverse",
        "unique_values",
    }  # fmt: skip
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value).endswith("xp"):
            assert node.attr not in waiting, ast.unparse(node)


def test_the_maths_knows_no_backend_s_name() -> None:
    for path in MATHS:
        words = path.read_text().lower()
        assert not any(name in words for name in ("cupy", "numba", "torch", "jax"))


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_nothing_imports_upwards(path: Path) -> None:
    imported = _imported(ast.parse(path.read_text()))
    if path.is_relative_to(ROOT / "nnx"):
        assert not any(name.startswith("nnx_backends") for name in imported)
        if not path.is_relative_to(ROOT / "nnx" / "cli") and path.name != "__main__.py":
            assert not any(name.startswith("nnx.cli") for name in imported)
    else:
        allowed = (
            "nnx.backend",
            "nnx.maths",
            "nnx.errors",
            "nnx.cores",
            "nnx_backends",
        )
        own = [name for name in imported if name.startswith("nnx")]
        assert all(name == "nnx" or name.startswith(allowed) for name in own)


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_a_room_stays_small(path: Path) -> None:
    source = path.read_text()
    assert len(source.splitlines()) <= MOST_LINES
    for node in ast.walk(ast.parse(source)):
        # A command's signature is its list of options; only its body is counted.
        if isinstance(node, ast.FunctionDef) and node.end_lineno:
            assert node.end_lineno - node.body[0].lineno < MOST_FUNCTION_LINES, (
                node.name
            )


def _loaded_by(statement: str) -> set[str]:
    code = (
        f"import sys; {statement}; print(*{{m.partition('.')[0] for m in sys.modules}})"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return set(ran.stdout.split())


def test_importing_nnx_loads_nothing_heavy() -> None:
    loaded = _loaded_by("import nnx; nnx.Network; nnx.train; nnx.load; nnx.evaluate")
    assert not loaded & HEAVY


def test_the_command_line_s_help_loads_no_array_library() -> None:
    assert not _loaded_by("import nnx.cli.main") & (HEAVY | {"numpy"})


def test_all_public_names_are_there() -> None:
    import nnx

    assert sorted(nnx.__all__) == nnx.__all__
    assert all(getattr(nnx, name) is not None for name in nnx.__all__)


def test_the_version_is_the_changelog_s_newest() -> None:
    import nnx

    changelog = ROOT / "CHANGELOG.md"
    versions = [li for li in changelog.read_text().splitlines() if li.startswith("## ")]
    assert versions[0].split()[1] == nnx.__version__
