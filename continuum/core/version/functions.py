"""The functions that a function reaches, and the text of each."""

from __future__ import annotations

import ast
import inspect
import sys
import tokenize
from collections import ChainMap
from collections.abc import Iterator
from types import FunctionType

from .names import NOTHING, function_of, imported_by, is_marked, is_ours, resolve, scope_of
from .normal import parts_of
from .source import DefinitionNode, Read, Source


def tree_of(function: FunctionType, read: Read) -> ast.stmt | None:
    """The statement that defines the function, without its own name and our decorators; None without source."""
    code = function.__code__
    source = read(code.co_filename, function.__globals__)
    tree = _statement(source, code.co_firstlineno)
    if code.co_name != "<lambda>" and not (isinstance(tree, DefinitionNode) and tree.name == code.co_name):
        tree = None  # the file is not what was loaded
    if tree is None:
        nodes = source.functions.get((code.co_firstlineno, code.co_name), ())
        tree = ast.Expr(nodes[0]) if len(nodes) == 1 and isinstance(nodes[0], ast.Lambda) else None
    if isinstance(tree, DefinitionNode):
        tree.name = "_"
        scope = scope_of(function)
        tree.decorator_list = [each for each in tree.decorator_list if not is_ours(each, scope)]
    return tree


def _statement(source: Source, line: int) -> ast.stmt | None:
    """The statement that begins at a line, read alone: the text of a lambda is that of its whole line."""
    try:
        text = "".join(inspect.getblock(source.lines[line - 1 :]))
        if text[:1].isspace():  # a block of its own: dedenting would change texts of several lines
            block = ast.parse("if 1:\n" + text).body[0]
            return block.body[0] if isinstance(block, ast.If) else None
        return ast.parse(text).body[0]
    except (SyntaxError, ValueError, IndexError, tokenize.TokenError):
        return None


def compiled(function: FunctionType) -> bytes:
    code = function.__code__
    return code.co_code + ascii((code.co_names, code.co_varnames)).encode()


def helpers_of(tree: ast.AST, function: FunctionType) -> Iterator[FunctionType | None]:
    """What the code of ``function`` names and what counts, in the order of the text.

    A local name that is also a global one is taken for the global: a helper too many is a version too many at worst.
    """
    scope = ChainMap(imported_by(tree, function), scope_of(function))  # type: ignore[arg-type]  # both are only read
    for node in parts_of(tree):
        if isinstance(node, ast.Name | ast.Attribute):
            named = resolve(node, scope)
            helper = None if named is NOTHING else function_of(named)
            if helper is not None and (counts(helper, function) or is_marked(named)):
                yield helper


def counts(helper: FunctionType, user: FunctionType) -> bool:
    return (
        helper.__module__ == user.__module__
        or is_marked(helper)
        or is_marked(sys.modules.get(helper.__module__))
    )
