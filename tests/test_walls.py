"""The walls: which room may import what, and how big a room may grow."""

import ast
import re
from itertools import pairwise
from pathlib import Path

import pytest
from own_process import printed

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "nnx": ROOT / "nnx",
    "nnx_backends": ROOT / "backends" / "nnx_backends",
    "nnx_benchmarks": ROOT / "benchmarks" / "nnx_benchmarks",
}
MODULES = sorted(path for room in PACKAGES.values() for path in room.rglob("*.py"))
MATHS = sorted((ROOT / "nnx" / "maths").glob("*.py"))
LIBRARIES = {
    "numpy", "np", "cupy", "cp", "numba", "torch", "jax", "jnp", "scipy",
    "array_api_compat", "array_api_strict", "nnx_backends",
}  # fmt: skip
# What no import of nnx may load; the command that needs it does.
HEAVY = {
    "cupy", "numba", "torch", "jax", "matplotlib", "sklearn", "scipy", "PIL",
    "starlette", "uvicorn", "onnx", "onnxruntime", "optuna", "mpi4py",
}  # fmt: skip
MOST_LINES, MOST_FUNCTION_LINES, MOST_PARAMETERS = 300, 50, 11

# The rooms of the map in docs/architecture.md, by the modules that are in them.
ROOMS = {
    "cli": ("nnx.cli", "nnx.__main__"),
    "bench": ("nnx_benchmarks",),
    "verify": ("nnx.verify",),
    "report": ("nnx.report", "nnx.plots"),
    "export": ("nnx.export",),
    "page": ("nnx.page",),
    "sweep": ("nnx.sweep",),
    "training": ("nnx.training",),
    "network": (
        "nnx.network",
        "nnx.first_layers",
        "nnx.inputs",
        "nnx.likeness",
        "nnx.model_file",
        "nnx.tensors",
    ),
    "settings": ("nnx.settings",),
    "estimators": ("nnx.sklearn",),
    "data": ("nnx.data",),
    "installation": ("nnx.installation",),
    "backend": ("nnx.backend", "nnx.communicator"),
    "maths": ("nnx.maths",),
    "backends": ("nnx_backends",),
}
# Modules that every room but the maths may use; they use only each other.
TOOLS = (
    "nnx.automatic", "nnx.errors", "nnx.files", "nnx.cores", "nnx.blas", "nnx.memory",
    "nnx.denormals",
)  # fmt: skip


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
def test_the_maths_calls_no_method_that_is_not_in_the_standard(path: Path) -> None:
    """`x.sum()` works on some libraries; the standard has `xp.sum(x)` alone."""
    shortcuts = {
        "sum", "max", "min", "mean", "argmax", "argmin", "astype", "reshape", "dot",
        "sort", "clip", "item", "copy", "take", "ravel", "flatten", "transpose", "std",
    }  # fmt: skip
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            called, owner = node.func.attr, node.func.value
            of_namespace = ast.unparse(owner) in ("xp", "ops.xp")
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


def _module(path: Path) -> str:
    package, folder = next(
        (name, folder) for name, folder in PACKAGES.items() if folder in path.parents
    )
    parts = path.relative_to(folder).with_suffix("").parts
    return ".".join([package, *(part for part in parts if part != "__init__")])


def _is_in(module: str, prefixes: tuple[str, ...]) -> bool:
    return any(module == p or module.startswith(p + ".") for p in prefixes)


def _room(module: str) -> str | None:
    return next((room for room, own in ROOMS.items() if _is_in(module, own)), None)


def _drawn() -> dict[str, set[str]]:
    """Return the arrows of the map: each room with those that it imports."""
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    drawing = re.search(r"```mermaid\n(.*?)```", page, re.S)
    assert drawing is not None
    arrows: dict[str, set[str]] = {room: set() for room in ROOMS}
    for line in drawing[1].splitlines():
        if "-->" not in line:
            continue
        ends = [
            {name.strip() for name in part.split("&")} for part in line.split("-->")
        ]
        for froms, tos in pairwise(ends):
            for room in froms:
                arrows[room] |= tos
    return arrows


def _below(room: str, arrows: dict[str, set[str]]) -> set[str]:
    """Return the rooms that arrows lead to from this one."""
    below: set[str] = set()
    new = {room}
    while new:
        new = set().union(*(arrows[each] for each in new)) - below
        below |= new
    return below


def _used(path: Path) -> set[str]:
    """Return the project's own modules that one imports, but for the package nnx."""
    imported = set[str]()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            # `from nnx.training import loop` imports a module of that room.
            imported |= {node.module or ""} if node.module != "nnx" else set(whole)
    return {
        name
        for name in imported
        if _is_in(name, tuple(PACKAGES)) and name not in PACKAGES
    }


def test_the_map_is_of_all_rooms_and_has_no_way_back_up() -> None:
    arrows = _drawn()
    for room in ROOMS:
        assert room not in _below(room, arrows), room
    every = {_module(path) for path in MODULES} - set(PACKAGES)
    assert {m for m in every if _room(m) is None} <= set(TOOLS)


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_imports_go_where_the_map_says(path: Path) -> None:
    module = _module(path)
    if module == "nnx":
        return  # where every public name lives, none of which it imports at once
    room = _room(module)
    allowed = {room} | (_below(room, _drawn()) if room else set())
    for used in _used(path):
        if used in TOOLS and room != "maths":
            continue
        if used == "nnx.__version__" or used.startswith("nnx_benchmarks.rivals"):
            continue
        assert _room(used) in allowed, f"{module} imports {used}"


def test_every_arrow_of_the_map_is_used() -> None:
    used: dict[str, set[str | None]] = {room: set() for room in ROOMS}
    for path in MODULES:
        if room := _room(_module(path)):
            used[room] |= {_room(name) for name in _used(path)}
    for room, to in _drawn().items():
        assert to <= used[room], f"{room}: {to - used[room]}"


def test_a_network_reads_no_data() -> None:
    own = "arrays", "columns", "frame_table", "tabular"
    makes_features = {f"nnx.data.{module}" for module in own}
    for name in "network.py", "model_file.py", "tensors.py":
        used = {m for m in _used(ROOT / "nnx" / name) if m.startswith("nnx.data")}
        assert used <= {"nnx.data.dataset", *makes_features}
    for module in makes_features:
        path = ROOT / f"{module.replace('.', '/')}.py"
        opens = {"open", "nnx.files"} & ({*_imported(ast.parse(path.read_text()))})
        assert not opens


def test_only_one_place_in_nnx_names_a_backend() -> None:
    names = {"numba", "numpy", "cupy", "torch", "jax", "strict"}
    for path in sorted((ROOT / "nnx").rglob("*.py")):
        # "auto"; the versions of libraries; a word of safetensors'
        if path.name in ("automatic.py", "installation.py", "tensors.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant):
                assert node.value not in names, f"{path.name}: {node.value}"


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_a_room_stays_small(path: Path) -> None:
    source = path.read_text()
    assert len(source.splitlines()) <= MOST_LINES, "divide the module by what it does"
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef) or not node.end_lineno:
            continue
        # A command's parameters are its list of options; only its body is counted.
        is_command = (
            any("typer" in ast.unparse(a) for a in node.args.defaults)
            or ("nnx/cli" in path.as_posix() and "Annotated" in ast.unparse(node.args))
            # An estimator's are its options, as scikit-learn wants them.
            or (path.parent.name == "sklearn" and node.name == "__init__")
        )
        first = node.body[0].lineno if is_command else node.lineno
        assert node.end_lineno - first < MOST_FUNCTION_LINES, node.name
        every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        own = [arg for arg in every if arg.arg not in ("self", "cls")]
        assert is_command or len(own) <= MOST_PARAMETERS, node.name


def _loaded_by(statement: str) -> set[str]:
    code = (
        f"import sys; {statement}; print(*{{m.partition('.')[0] for m in sys.modules}})"
    )
    return set(printed(code).split())


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
