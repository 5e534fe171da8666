"""The names that users import, their signatures, and their words."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import continuum
from continuum import AsyncClient, AsyncRunHandle, Client, RunHandle
from continuum.client import default

SIGNATURES = {
    "start": "(call, *, id=None, namespace='default', attributes=None, delay=None, connection=None, if_exists='error')",
    "start_many": (
        "(calls, *, ids=None, namespace='default', attributes=None, delay=None, connection=None, if_exists='error')"
    ),
    "signal": "(run_id, signal, payload=None, *, id=None)",
    "cancel": "(run_id, *, reason=None, cleanup=None)",
    "result": "(run_id, timeout=None)",
    "get_run": "(run_id)",
    "history": "(run_id)",
    "handle": "(run_id)",
    "query": "(*, namespace='default', where=(), order_by=None, limit=100, cursor=None)",
    "set_attributes": "(run_id, attributes)",
}
HANDLE_SIGNATURES = {
    "result": "(timeout=None)",
    "signal": "(signal, payload=None, *, id=None)",
    "cancel": "(*, reason=None, cleanup=None)",
    "run": "()",
    "history": "()",
}
# A node is a program of its own: its module is imported only by those who run one.
IMPORTED_LATE = ("psycopg", "psycopg_pool", "zmq", "uvloop", "psutil", "click", "rich", "pydantic")


def signature_of(function: object) -> str:
    """The parameters without annotations and ``self``."""
    assert callable(function)
    signature = inspect.signature(function)
    parameters = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in signature.parameters.values()
        if parameter.name != "self"
    ]
    return str(signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty))


def public(cls: type) -> set[str]:
    return {name for name in vars(cls) if not name.startswith("_")}


@pytest.mark.parametrize("name", [name for name in continuum.__all__ if name != "Node"])
def test_a_public_name_says_what_it_is_for(name: str) -> None:
    assert inspect.getdoc(getattr(continuum, name))


@pytest.mark.parametrize("cls", [Client, AsyncClient, RunHandle, AsyncRunHandle])
def test_every_method_says_what_it_is_for(cls: type) -> None:
    assert [name for name in public(cls) if not inspect.getdoc(getattr(cls, name))] == []


@pytest.mark.parametrize("owner", [Client, AsyncClient, default])
@pytest.mark.parametrize("name", SIGNATURES)
def test_the_signatures_are_those_of_the_contract(owner: object, name: str) -> None:
    assert signature_of(getattr(owner, name)) == SIGNATURES[name]


@pytest.mark.parametrize("owner", [RunHandle, AsyncRunHandle])
@pytest.mark.parametrize("name", HANDLE_SIGNATURES)
def test_the_signatures_of_handles_are_those_of_the_contract(owner: object, name: str) -> None:
    assert signature_of(getattr(owner, name)) == HANDLE_SIGNATURES[name]


@pytest.mark.parametrize(("blocking", "asynchronous"), [(Client, AsyncClient), (RunHandle, AsyncRunHandle)])
def test_the_async_side_has_the_same_methods(blocking: type, asynchronous: type) -> None:
    assert public(blocking) == public(asynchronous)
    for name in public(blocking):
        assert signature_of(getattr(blocking, name)) == signature_of(getattr(asynchronous, name))
        assert inspect.iscoroutinefunction(getattr(asynchronous, name)) == (name != "handle")
    assert signature_of(blocking.__init__) == signature_of(asynchronous.__init__)  # type: ignore[misc]


def test_the_public_names_are_sorted_and_there() -> None:
    assert continuum.__all__ == sorted(continuum.__all__)
    assert set(continuum.__all__) <= set(dir(continuum))
    with pytest.raises(AttributeError, match="nonsense"):
        _ = continuum.nonsense


def test_importing_the_package_brings_no_database_driver() -> None:
    program = f"import sys, continuum; print([name for name in {IMPORTED_LATE!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
