"""The import statements of modules, for tests of what imports what."""

import ast
from functools import cache
from pathlib import Path


@cache
def import_statements(path: Path) -> tuple[ast.Import | ast.ImportFrom, ...]:
    """Return the imports of a module, wherever they stand in it. Each file is parsed once."""
    nodes = ast.walk(ast.parse(path.read_text()))
    return tuple(node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom))
