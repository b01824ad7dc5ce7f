"""The import statements of modules, for tests of what imports what."""

import ast
from functools import cache
from pathlib import Path


@cache
def import_statements(path: Path) -> tuple[ast.Import | ast.ImportFrom, ...]:
    """Return the imports of a module, wherever they stand in it. Each file is parsed once."""
    found: list[ast.Import | ast.ImportFrom] = []
    rest: list[ast.AST] = [ast.parse(path.read_bytes())]
    while rest:
        node = rest.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            found.append(node)
        for inner in ("body", "orelse", "handlers", "finalbody", "cases"):
            inside = getattr(node, inner, ())
            rest += inside if isinstance(inside, list) else ()  # that of an expression holds no statements
    return tuple(found)
