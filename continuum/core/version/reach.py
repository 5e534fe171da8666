"""What the code reaches beside functions that it names: classes, tables, constants, the types of what comes to it."""

from __future__ import annotations

import ast
import copy
import sys
from collections import ChainMap, deque
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, partial
from types import FunctionType, MappingProxyType, MethodType, ModuleType
from typing import Any, NamedTuple

from .functions import compiled, tree_of
from .names import (
    NOTHING,
    OWN,
    closed_over,
    function_of,
    imported_by,
    is_marked,
    is_ours,
    module_named,
    module_of,
    of_class,
    resolve,
)
from .normal import listed, normal_form, parts_of, statements_kept
from .source import DefinitionNode, Read

_QUIET = frozenset({OWN, "logging", "typing"})
_PLAIN = (bool, int, float, complex, str, bytes, type(None))


_TABLES = (dict, list, tuple, set, frozenset, MappingProxyType)
_CALLABLES = (FunctionType, MethodType, type, type(cache(len)))
_ITEMS_MAX = 10_000


_NESTING_MAX = 4


class Home(NamedTuple):
    """A module whose names a text reads. ``file`` is where its statements stand."""

    module: str
    file: str
    variables: dict[str, Any]


class Text(NamedTuple):
    """A syntax tree and what its names stand for. ``imported`` and ``closed``: names that are none of the module's,
    but imported by the text itself, or of the function around it."""

    tree: ast.AST
    scope: Mapping[str, object]
    home: Home
    imported: frozenset[str] = frozenset()
    closed: frozenset[str] = frozenset()


class Reach:
    """What the code reaches beside the functions that ``helpers_of`` finds, each once, in the order of the texts."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._seen: set[object] = set()
        self._texts: deque[Text] = deque()
        self._kept: list[object] = []  # what was seen by its id must not make room for another

    def begin_at(self, function: FunctionType, tree: ast.AST) -> None:
        self._is_new(function)
        self._texts.append(_text_of(function, tree))

    def forms(self) -> Iterator[str]:
        while self._texts:
            text = self._texts.popleft()
            yield from self._named(text)
            yield from self._annotated(text)

    def _is_new(self, value: object, *more: object) -> bool:
        key = (id(value), *more)
        if key in self._seen:
            return False
        self._seen.add(key)
        self._kept.append(value)
        return True

    # -- names

    def _named(self, text: Text) -> Iterator[str]:
        passed: set[int] = set()
        for node in parts_of(text.tree):
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    yield from self._imported_from(node, alias.name, text.home)
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                yield from self._looked_up(node, node.func.id, text)
            elif isinstance(node, ast.Name | ast.Attribute) and id(node) not in passed:
                value = resolve(node, text.scope)
                if isinstance(value, staticmethod) and isinstance(node, ast.Attribute):
                    passed.update(id(part) for part in ast.walk(node.value))  # the class is but a name for it
                if value is NOTHING:
                    yield from self._raw_function(node, text)
                else:
                    yield from self._read_name(node, value, text)
                    yield from self._object(value, text.home)

    def _raw_function(self, node: ast.Name | ast.Attribute, text: Text) -> Iterator[str]:
        """The function behind an activity or another workflow, ``charge.fn``, runs as a part of this one."""
        if isinstance(node, ast.Attribute) and node.attr == "fn":
            definition = resolve(node.value, text.scope)
            function = getattr(definition, "fn", None) if _root_of(type(definition)) == OWN else None
            if isinstance(function, FunctionType) and _is_own(function, text.home):
                yield from self._helper(function)

    def _read_name(self, node: ast.Name | ast.Attribute, value: object, text: Text) -> Iterator[str]:
        if isinstance(node, ast.Attribute):
            holder = resolve(node.value, text.scope)
            if isinstance(holder, ModuleType) and _is_own(holder, text.home):
                yield from self._binding(node.attr, value, _home_of(holder))
        elif node.id in text.closed:
            if type(value) in _PLAIN and self._is_new(text.tree, node.id):
                yield f"({node.id} {value!a})"
            elif _is_own(type(value), text.home):
                yield from self._class(type(value))
        elif node.id not in text.imported:
            yield from self._binding(node.id, value, text.home)

    def _binding(self, name: str, value: object, home: Home) -> Iterator[str]:
        """The statements of a module that make a name what it is; of what is ours only the types in them."""
        if not self._is_new(home.variables, name) or isinstance(value, ModuleType):
            return
        source = self._read(home.file, home.variables)
        quiet = _root_of(type(value)) in _QUIET and not isinstance(value, type)
        for statement in source.bindings.get(name, ()):
            text = Text(statement, home.variables, home)
            if quiet:
                yield from self._typed_by(statement, text)
            else:
                yield "".join(listed(statements_kept([statement], False, False)))
                self._texts.append(text)
        if name in source.imports:
            yield from self._imported_from(*source.imports[name], home)

    def _imported_from(self, statement: ast.ImportFrom, name: str, home: Home) -> Iterator[str]:
        """What comes from a pure module by a statement of that module; functions and classes know theirs."""
        module = sys.modules.get(module_named(statement, home.variables))
        if module is not None and is_marked(module) and name in vars(module):
            yield from self._binding(name, vars(module)[name], _home_of(module))

    def _looked_up(self, call: ast.Call, function: str, text: Text) -> Iterator[str]:
        """``getattr`` of a module or class, and ``globals()``: by a name that is written down, or any."""
        if function == "globals" or (function == "vars" and not call.args):
            yield from self._all_of(text.home)
        if function != "getattr" or len(call.args) < 2:
            return
        holder, name = resolve(call.args[0], text.scope), call.args[1]
        if _is_sys_modules(call.args[0], text.scope):
            holder = sys.modules.get(text.home.module)
        if isinstance(holder, ModuleType) and _is_own(holder, text.home):
            home = _home_of(holder)
            if not isinstance(name, ast.Constant):
                yield from self._all_of(home)
            elif name.value in home.variables:
                value = home.variables[name.value]
                yield from self._binding(name.value, value, home)
                yield from self._object(value, home)

    def _all_of(self, home: Home) -> Iterator[str]:
        for _, value in sorted(home.variables.items()):
            if isinstance(value, FunctionType | type) and _module_of(value) == home.module:
                yield from self._object(value, home)

    # -- objects

    def _object(self, value: object, home: Home) -> Iterator[str]:
        if isinstance(value, type):
            if _is_own(value, home):
                yield from self._class(value)
            return
        if _root_of(type(value)) == OWN:
            yield from self._typed_by_signature(value)
            return
        function = function_of(value)
        if function is not None:
            if _is_own(function, home) or is_marked(value):
                yield from self._helper(function)
            if isinstance(value, FunctionType):
                yield from self._several(_registered(value), home)
        elif isinstance(value, _TABLES) and self._is_new(value):
            yield from self._several(_items(value, _NESTING_MAX), home)

    def _several(self, values: Iterable[object], home: Home) -> Iterator[str]:
        """The functions and classes in a table, which code may have put there: their order is that of their names.
        Objects in it may have come later, and lambdas stand in a text that counts anyway."""
        named = [
            value
            for value in values
            if isinstance(value, _CALLABLES) and not _name_of(value).endswith("<lambda>")
        ]
        for value in sorted(named, key=partial(_order, home)):
            yield from self._object(value, home)

    def _helper(self, function: FunctionType) -> Iterator[str]:
        if self._is_new(function):
            tree = tree_of(function, self._read)
            if tree is None:
                yield ascii(compiled(function))
            else:
                yield normal_form(tree)
                self._texts.append(_text_of(function, tree))

    def _class(self, cls: type) -> Iterator[str]:
        """The statement of a class, with all that is in it, and its bases; a bare kind of error says nothing."""
        if not self._is_new(cls):
            return
        home = _home_of_class(cls)
        node = self._node_of(cls, home)
        if node is not None and not _is_bare(node):
            node = _without_ours(node, home.variables)
            yield normal_form(node)
            self._texts.append(Text(node, home.variables, home))
        elif node is None:
            written = [fn for fn in _methods(cls) if not fn.__code__.co_filename.startswith("<")]
            yield from self._several(written, home)
        if home.variables.get(_name_of(cls)) is cls:
            yield from self._binding(_name_of(cls), cls, home)
        for relative in (*of_class(cls, "__mro__")[1:], *_heirs(cls, home)):
            if _is_own(relative, home):
                yield from self._class(relative)

    def _node_of(self, cls: type, home: Home) -> ast.ClassDef | None:
        nodes = self._read(home.file, home.variables).classes.get(_name_of(cls), [])
        if len(nodes) > 1:
            lines = [
                fn.__code__.co_firstlineno for fn in _methods(cls) if fn.__code__.co_filename == home.file
            ]
            for node in nodes:
                if any(node.lineno <= line <= (node.end_lineno or 0) for line in lines):
                    return node
        return nodes[-1] if nodes else None

    # -- the types of values that come to the code

    def _annotated(self, text: Text) -> Iterator[str]:
        for node in ast.walk(text.tree):
            for name in ("annotation", "returns"):
                hint = getattr(node, name, None)
                if isinstance(hint, ast.AST):
                    yield from self._typed_by(hint, text)

    def _typed_by(self, hint: ast.AST, text: Text) -> Iterator[str]:
        for node in ast.walk(hint):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield from self._typed_by(_expression(node.value), text)
            elif isinstance(node, ast.Name | ast.Attribute):
                yield from self._type(resolve(node, text.scope), text.home)

    def _typed_by_signature(self, definition: object) -> Iterator[str]:
        """What an activity or a child returns comes to the code, too."""
        function = getattr(definition, "fn", None)
        if isinstance(function, FunctionType) and self._is_new(definition):
            text = _text_of(function, ast.Pass())
            hint = function.__annotations__.get("return")
            if isinstance(hint, str):
                yield from self._typed_by(_expression(hint), text)
            else:
                for kind in _types_in(hint):
                    yield from self._type(kind, text.home)

    def _type(self, cls: object, home: Home) -> Iterator[str]:
        """A class by which values are restored counts if it has methods; so do those of its fields and its bases."""
        if not isinstance(cls, type) or not _is_own(cls, home) or not self._is_new(cls, "type"):
            return
        own = _home_of_class(cls)
        node = self._node_of(cls, own)
        if node is None:
            return
        if any(
            isinstance(part, DefinitionNode | ast.Lambda)
            for part in ast.walk(_without_ours(node, own.variables))
        ):
            yield from self._class(cls)
        yield from self._annotated(Text(node, own.variables, own))
        for relative in (*of_class(cls, "__mro__")[1:], *_heirs(cls, own)):
            yield from self._type(relative, own)


def _text_of(function: FunctionType, tree: ast.AST) -> Text:
    home = Home(function.__module__, function.__code__.co_filename, function.__globals__)
    imported, closed = imported_by(tree, function), closed_over(function)
    inner = ast.walk(tree) if closed else ()
    changed = {name for node in inner if isinstance(node, ast.Nonlocal) for name in node.names}
    scope = ChainMap(imported, {n: v for n, v in closed.items() if n not in changed}, function.__globals__)
    return Text(tree, scope, home, frozenset(imported), frozenset(closed))


def _home_of(module: ModuleType) -> Home:
    return Home(module.__name__, getattr(module, "__file__", None) or "", vars(module))


def _home_of_class(cls: type) -> Home:
    """Of a class that was made in a notebook, say, its methods know the file."""
    name = module_of(cls)
    module = sys.modules.get(name)
    if module is not None and getattr(module, "__file__", None):
        return _home_of(module)
    for function in _methods(cls):
        if function.__module__ == name:
            return Home(name, function.__code__.co_filename, function.__globals__)
    return Home(name, "", {} if module is None else vars(module))


def _heirs(cls: type, home: Home) -> list[type]:
    """The subclasses that its module defines, which code may find by the base; not those of errors, which are names."""
    found = [] if issubclass(cls, BaseException) else type.__subclasses__(cls)
    return sorted(
        (heir for heir in found if home.variables.get(_name_of(heir)) is heir), key=partial(_order, home)
    )


def _methods(cls: type) -> list[FunctionType]:
    return [
        function for function in map(function_of, of_class(cls, "__dict__").values()) if function is not None
    ]


def _is_own(value: FunctionType | type | ModuleType, home: Home) -> bool:
    module = value.__name__ if isinstance(value, ModuleType) else _module_of(value)
    if module == home.module or is_marked(value) or is_marked(sys.modules.get(module)):
        return True
    methods = of_class(value, "__dict__").values() if isinstance(value, type) else ()
    return any(isinstance(method, FunctionType) and is_marked(method) for method in methods)


def _root_of(cls: type) -> str:
    return module_of(cls).partition(".")[0]


def _is_sys_modules(node: ast.expr, scope: Mapping[str, object]) -> bool:
    """Whether it is ``sys.modules[__name__]``."""
    return (
        isinstance(node, ast.Subscript)
        and resolve(node.value, scope) is sys.modules
        and isinstance(node.slice, ast.Name)
        and node.slice.id == "__name__"
    )


def _items(container: Any, nesting: int) -> Iterator[object]:
    """What is in a table and in the tables in it."""
    values = (
        [*container.keys(), *container.values()]
        if isinstance(container, dict | MappingProxyType)
        else container
    )
    for _, value in zip(range(_ITEMS_MAX), values, strict=False):
        if not isinstance(value, _TABLES):
            yield value
        elif nesting:
            yield from _items(value, nesting - 1)


def _registered(function: FunctionType) -> list[object]:
    """The implementations of a ``singledispatch`` function."""
    registry = vars(function).get("registry")
    return list(registry.values()) if isinstance(registry, MappingProxyType) else []


def _order(home: Home, value: object) -> tuple[str, str, int]:
    """By name. The module itself comes first, because it is called otherwise where it is run as a program."""
    function, module = function_of(value), _module_of(value)
    line = 0 if function is None else function.__code__.co_firstlineno
    return "" if module == home.module else module, _name_of(value), line


def _name_of(value: object) -> str:
    """The qualified name of a function or class."""
    return str(
        of_class(value, "__qualname__") if isinstance(value, type) else getattr(value, "__qualname__", "")
    )


def _module_of(value: object) -> str:
    return module_of(value) if isinstance(value, type) else str(getattr(value, "__module__", ""))


def _types_in(hint: object) -> Iterator[object]:
    yield hint
    for part in getattr(hint, "__args__", ()):
        yield from _types_in(part)


def _expression(text: str) -> ast.AST:
    try:
        return ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError):
        return ast.Pass()


def _is_bare(node: ast.ClassDef) -> bool:
    """Whether it is ``class Refused(Exception): pass``, which is a name and nothing else."""
    bases = [base.id for base in node.bases if isinstance(base, ast.Name)]
    nothing = not (statements_kept(node.body, True, True) or node.decorator_list or node.keywords)
    return nothing and bases == ["Exception"] and len(node.bases) == 1


def _without_ours(node: ast.ClassDef, scope: Mapping[str, object]) -> ast.ClassDef:
    """The class without the activities and workflows in it, and without our decorators."""
    node = copy.copy(node)
    kept: list[ast.stmt] = []
    for statement in node.body:
        if isinstance(statement, DefinitionNode):
            ours = [each for each in statement.decorator_list if is_ours(each, scope)]
            if any(_name_of_decorator(each, scope) in ("activity", "workflow") for each in ours):
                continue
            plain = copy.copy(statement)
            plain.decorator_list = [each for each in statement.decorator_list if each not in ours]
            kept.append(plain)
        else:
            kept.append(statement)
    node.body = kept
    node.decorator_list = [each for each in node.decorator_list if not is_ours(each, scope)]
    return node


def _name_of_decorator(decorator: ast.expr, scope: Mapping[str, object]) -> str:
    named = resolve(decorator.func if isinstance(decorator, ast.Call) else decorator, scope)
    return str(getattr(named, "__name__", ""))
