"""What takes many arguments says what each of them is."""

import ast
from collections.abc import Iterator

from tests.repo.test_house import ROOT, tracked

#: Commands: Typer shows a docstring to people, and says of each option what it is.
COMMANDS = "src/isthmus/cli/"
MANY = 4


def functions(body: list[ast.stmt], owner: str = "") -> Iterator[tuple[str, ast.FunctionDef]]:
    """Yield the public functions and methods of a module, with their names."""
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from functions(node.body, f"{node.name}.")
        elif isinstance(node, ast.FunctionDef) and (
            not node.name.startswith("_") or node.name in {"__init__", "__call__"}
        ):
            yield owner + node.name, node


def list_arguments(function: ast.FunctionDef) -> list[str]:
    found = function.args
    names = [one.arg for one in (*found.posonlyargs, *found.args, *found.kwonlyargs)]
    return [one for one in names if one not in {"self", "cls"}]


def overrides(function: ast.FunctionDef) -> bool:
    """Return whether a method has its arguments from a class of others, which says them."""
    return any(ast.unparse(one) == "override" for one in function.decorator_list)


def test_a_function_of_many_arguments_says_what_they_are() -> None:
    silent, seen = [], 0
    for path in tracked("src/*.py"):
        name = str(path.relative_to(ROOT))
        if name.startswith(COMMANDS) or "alembic" in path.parts:
            continue
        for function, node in functions(ast.parse(path.read_text()).body):
            arguments = list_arguments(node)
            if len(arguments) < MANY or overrides(node):
                continue
            seen += 1
            said = ast.get_docstring(node) or ""
            if "neutron_lib" in said:  # it names the class that says so
                continue
            if "Args:" not in said or any(f" {one}: " not in said for one in arguments):
                silent.append(f"{name}:{node.lineno}: {function}")
    assert seen > 200
    assert silent == []
