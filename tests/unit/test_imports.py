"""What imports what: no circles, also none that only types need, and the kernel knows no role."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.unit.import_statements import import_statements

ROOT = Path(__file__).parents[2]


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path, modules: dict[str, Path]) -> Iterator[str]:
    """Yield the modules that a module imports."""
    package = name_of(path).split(".") if path.name == "__init__.py" else name_of(path).split(".")[:-1]
    for node in import_statements(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        else:
            above = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*above, node.module] if node.module else above)
            for alias in node.names:
                inner = f"{source}.{alias.name}"
                if inner in modules:
                    yield inner
                elif source in modules:
                    yield source


def graph(*packages: str) -> dict[str, set[str]]:
    """Return what each module of some packages imports of them."""
    modules = {name_of(path): path for package in packages for path in (ROOT / package).rglob("*.py")}
    return {name: set(imported(path, modules)) - {name} for name, path in modules.items()}


@pytest.mark.parametrize("packages", [("fsharechat", "roles"), ("tools",)], ids=" and ".join)
def test_no_module_imports_itself_by_way_of_others(packages: tuple[str, ...]) -> None:
    try:
        order = list(TopologicalSorter(graph(*packages)).static_order())
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))
    assert len(order) > 20


def test_the_kernel_imports_no_role_and_neither_imports_tools() -> None:
    found = graph("fsharechat", "roles", "tools", "tests")
    for name, imports in found.items():
        parts = {module.split(".")[0] for module in imports}
        if name.startswith("fsharechat"):
            assert parts <= {"fsharechat"}, name
        elif name.startswith("roles"):
            assert parts <= {"fsharechat", "roles"}, name


def test_roles_do_not_import_each_other() -> None:
    for name, imports in graph("roles").items():
        role = name.split(".")[1:2]
        assert [module for module in imports if module.split(".")[1:2] not in (role, [])] == [], name
