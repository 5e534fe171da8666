"""Pydantic models through a payload: equal to what was passed, or refused where it is passed."""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Callable
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

import msgpack  # type: ignore[import-untyped]
import pydantic
import pydantic.dataclasses
import pytest

from continuum import activity, start_child, workflow
from continuum.core.commands.child import args_hash, is_hash_of
from continuum.errors import PayloadError
from continuum.model.display import to_jsonable
from continuum.model.extensions import MODEL
from continuum.model.payload import decode, encode
from continuum.model.pydantic_data import PydanticData
from continuum.model.restore import restorer
from continuum.testing import run_sync

T = TypeVar("T")


class Color(Enum):
    RED = "red"


class Excluded(pydantic.BaseModel):
    name: str
    password: str = pydantic.Field(exclude=True)


class Masked(pydantic.BaseModel):
    card: str

    @pydantic.field_serializer("card")
    def mask(self, value: str) -> str:
        return "****" + value[-4:]


class Reshaped(pydantic.BaseModel):
    x: int

    @pydantic.model_serializer
    def reshape(self) -> dict[str, int]:
        return {"twice": 2 * self.x}


class Private(pydantic.BaseModel):
    x: int
    _cache: dict[str, Any] = pydantic.PrivateAttr(default_factory=dict)


class Unset(pydantic.BaseModel):
    a: int | None = None
    b: list[int] = []


class Doubled(pydantic.BaseModel):
    x: int

    @pydantic.field_validator("x")
    @classmethod
    def double(cls, value: int) -> int:
        return 2 * value


class Parsed(pydantic.BaseModel):
    x: int

    @pydantic.model_validator(mode="before")
    @classmethod
    def parse(cls, text: str) -> dict[str, str]:
        return {"x": text}


class Split(pydantic.BaseModel):
    words: Annotated[list[str], pydantic.BeforeValidator(str.split)]


class Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True, frozen=True)
    color: Color
    numbers: tuple[int, ...]
    day: dt.date
    by_color: dict[Color, set[Decimal]]


class ValuesOnly(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(use_enum_values=True)
    color: Color
    colors: list[Color] = []


class Past(pydantic.BaseModel):
    at: pydantic.AwareDatetime
    until: pydantic.FutureDate
    numbers: pydantic.Json[list[int]]


class Pet(pydantic.BaseModel):
    name: str


class Dog(Pet):
    breed: str


class Puppy(Pet):
    """A subclass without fields of its own."""


class Owner(pydantic.BaseModel):
    pet: Pet
    pets: list[Pet] = []
    by_name: dict[str, Pet | None] = {}
    shown: pydantic.SerializeAsAny[Pet] | None = None


class Open(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    anything: Any = None
    more: dict[str, Any] = {}


class Box(pydantic.BaseModel, Generic[T]):
    value: T


class Tags(pydantic.RootModel[list[Pet]]):
    pass


class Grown(pydantic.RootModel[int]):
    @pydantic.field_validator("root")
    @classmethod
    def grow(cls, value: int) -> int:
        return value + 1


@pydantic.dataclasses.dataclass
class Counted:
    x: int

    @pydantic.field_validator("x")
    @classmethod
    def count(cls, value: int) -> int:
        return value + 1


class Same(pydantic.BaseModel):
    x: int
    y: int = 5


class Also(pydantic.BaseModel):
    x: int
    y: int = 5


def there_and_back(value: object, annotation: object = None) -> Any:
    return restorer(type(value) if annotation is None else annotation)(decode(encode(value)))


def with_cache() -> Private:
    model = Private(x=1)
    model._cache["k"] = [1]
    return model


TOMORROW = dt.date.today() + dt.timedelta(days=1)
REX = Dog(name="Rex", breed="collie")


@pytest.mark.parametrize(
    "make",
    [
        lambda: Excluded(name="n", password="p"),
        lambda: Masked(card="4111111111111111"),
        lambda: Reshaped(x=2),
        with_cache,
        lambda: Unset(a=None),
        lambda: Unset(b=[1]),
        lambda: Doubled(x=1),
        lambda: Parsed.model_validate("7"),
        lambda: Split(words="a b"),  # type: ignore[arg-type]
        lambda: Strict(color=Color.RED, numbers=(1,), day=TOMORROW, by_color={Color.RED: {Decimal("1.5")}}),
        lambda: ValuesOnly(color=Color.RED, colors=[Color.RED]),
        lambda: Past(at=dt.datetime.now(dt.UTC), until=TOMORROW, numbers="[1]"),  # type: ignore[arg-type]
        lambda: Owner(pet=REX, pets=[REX, Pet(name="Tom")], by_name={"r": REX, "n": None}, shown=REX),
        lambda: Owner(pet=Puppy(name="p")),
        lambda: Open(anything=[REX], more={"a": {"b": REX}}, dog=REX, deep=[{"d": REX}]),  # type: ignore[call-arg]
        lambda: Box[int](value=1),
        lambda: Box[Pet](value=REX),
        lambda: Box(value=REX),
        lambda: Tags([REX, Pet(name="Tom")]),
        lambda: Counted(1),
    ],
)
def test_a_model_comes_back_equal(make: Callable[[], Any]) -> None:
    model = make()
    back = there_and_back(model)
    assert type(back) is type(model)
    assert back == model
    assert repr(back) == repr(model)
    if isinstance(model, pydantic.BaseModel):
        assert back.model_fields_set == model.model_fields_set
        assert back.model_dump(mode="python", warnings=False) == model.model_dump(
            mode="python", warnings=False
        )


@pytest.mark.parametrize("annotation", [Pet, Pet | None, pydantic.BaseModel, Dog | Puppy, Owner | Pet])
def test_a_subclass_comes_back_as_itself_wherever_its_base_is_expected(annotation: object) -> None:
    back = there_and_back(REX, annotation)
    assert type(back) is Dog
    assert back == REX


def test_a_model_of_a_class_that_is_not_loaded_is_refused_if_something_of_it_would_be_lost() -> None:
    class Cat(Pet):
        lives: int

    payload = encode([Owner(pet=Cat(name="Tom", lives=9))])
    del Cat
    named = payload.replace(b"Cat", b"Cow")
    with pytest.raises(PayloadError, match=r"value\[0\].pet: Pet has no field 'lives'.*Cow.*no subclass"):
        restorer(list[Owner])(decode(named))


def test_a_union_knows_its_member_by_name() -> None:
    assert type(there_and_back(Also(x=1), Same | Also)) is Also
    assert type(there_and_back(Also(x=1), dict[str, int] | Also)) is Also
    assert there_and_back(Also(x=1), dict[str, int]) == {"x": 1, "y": 5}


def test_the_same_class_of_a_program_that_ran_as_main_is_the_same_class() -> None:
    data = PydanticData({"x": 2}, "__main__", Doubled.__qualname__)
    assert restorer(Doubled)(decode(encode(data))) == Doubled(x=1)
    assert restorer(Doubled)(decode(encode({"x": 2}))) == Doubled(x=2)


def test_what_is_named_otherwise_is_validated_as_input_is() -> None:
    assert there_and_back(Same(x=1), Also) == Also(x=1)
    assert restorer(Doubled)({"x": 3}) == Doubled(x=3)
    with pytest.raises(PayloadError, match="has no field 'y'"):
        there_and_back(Same(x=1), Doubled)


def test_fields_that_a_class_has_got_since_take_their_defaults() -> None:
    class Grew(pydantic.BaseModel):
        x: int

    old = encode(Grew(x=1))

    class Later(pydantic.BaseModel):
        x: int
        y: int = 7
        _z: int = pydantic.PrivateAttr(default=8)

    Later.__qualname__ = Grew.__qualname__
    back: Any = restorer(Later)(decode(old))
    assert (back.x, back.y, back._z, back.model_fields_set) == (1, 7, 8, {"x"})


def test_a_field_that_the_class_lacks_or_another_type_of_it_is_refused() -> None:
    class Was(pydantic.BaseModel):
        x: str
        gone: int = 0

    payload = decode(encode(Was(x="a")))

    class Lacks(pydantic.BaseModel):
        x: str

    class Changed(pydantic.BaseModel):
        x: int
        gone: int = 0

    Lacks.__qualname__ = Changed.__qualname__ = Was.__qualname__
    with pytest.raises(PayloadError, match="has no field 'gone'"):
        restorer(Lacks)(payload)
    with pytest.raises(PayloadError, match=r"value\.x: expected int, got str 'a'"):
        restorer(Changed)(payload)


class Url(pydantic.BaseModel):
    url: pydantic.HttpUrl | pydantic.PostgresDsn


class Secret(pydantic.BaseModel):
    secret: pydantic.SecretStr


class Place(pydantic.BaseModel):
    path: Path


class Host(pydantic.BaseModel):
    address: ipaddress.IPv4Address


class Wave(pydantic.BaseModel):
    phase: complex


def test_what_no_payload_holds_is_refused_at_its_place_with_what_to_pass() -> None:
    cases: list[tuple[pydantic.BaseModel, str]] = [
        (Url(url="https://a.example/b"), r"value\.url: a URL .* pass its text"),  # type: ignore[arg-type]
        (Url(url="postgresql://h/d"), r"value\.url: a URL .* pass its text"),  # type: ignore[arg-type]
        (Secret(secret="s"), r"value\.secret: a secret .* look it up"),  # type: ignore[arg-type]
        (Place(path=Path("/tmp")), r"value\.path: a path .* pass its text"),
        (Host(address="10.0.0.1"), r"value\.address: an internet address"),  # type: ignore[arg-type]
        (Wave(phase=1j), r"value\.phase: a complex number .* its two parts"),
    ]
    for model, message in cases:
        with pytest.raises(PayloadError, match=message):
            encode(model)


def test_what_no_annotation_describes_is_refused_if_it_would_come_back_as_something_else() -> None:
    model = Private(x=1)
    model._cache["c"] = Color.RED
    with pytest.raises(PayloadError, match=r"private attribute _cache holds .*Color"):
        encode(model)
    for value in (Open(anything=Color.RED), Open(more={"a": [Color.RED]}), Open(extra=Color.RED)):  # type: ignore[call-arg]
        with pytest.raises(PayloadError, match=r"holds .*Color, and no annotation says"):
            encode(value)


def test_an_incomplete_model_is_refused() -> None:
    model = Same.model_construct(x=1)
    del model.__dict__["y"]
    with pytest.raises(PayloadError, match="made without its field 'y'"):
        encode(model)


def test_a_root_model_whose_validators_go_on_changing_its_value_is_refused() -> None:
    with pytest.raises(PayloadError, match="its validators change the value when they run again"):
        encode(Grown(1))


def test_a_model_is_a_dict_for_who_does_not_know_it_and_stays_a_model_when_passed_on() -> None:
    untyped = decode(encode(Owner(pet=REX)))
    assert untyped == {
        "pet": {"name": "Rex", "breed": "collie"}, "pets": [], "by_name": {}, "shown": None,
    }  # fmt: skip
    assert to_jsonable(untyped) == to_jsonable(Owner(pet=REX)) == untyped
    assert restorer(Owner)(decode(encode(untyped))) == Owner(pet=REX)


def test_payloads_of_older_versions_are_read_as_ever() -> None:
    assert restorer(Owner)({"pet": {"name": "a"}, "pets": [{"name": "b"}]}) == Owner(
        pet=Pet(name="a"), pets=[Pet(name="b")]
    )


@pytest.mark.rule("R3")
def test_arguments_that_an_older_version_recorded_are_no_drift() -> None:
    now = encode([[Same(x=1)], {"pets": (Tags([REX]), {1})}])
    then = encode([[{"x": 1, "y": 5}], {"pets": ([{"name": "Rex", "breed": "collie"}], {1})}])
    assert now != then
    assert is_hash_of(args_hash(then), now)
    assert is_hash_of(args_hash(now), now)
    assert not is_hash_of(args_hash(encode([[{"x": 2, "y": 5}], {}])), now)


@pytest.mark.parametrize(
    "parts",
    [[], [1, "Q", {}, [], [], {}], ["m", "Q", [], [], [], {}], ["m", "Q", {}, 5, [], {}],
     ["m", "Q", {}, [[]], [], {}], ["m", "Q", {}, [], [], None], ["m", "Q", {}, [], [], {}, 7]],
)  # fmt: skip
def test_crafted_data_of_a_model_is_refused(parts: list[object]) -> None:
    with pytest.raises(PayloadError, match="not a payload"):
        decode(msgpack.packb(msgpack.ExtType(MODEL, msgpack.packb(parts))))


def test_models_nest_as_deep_as_other_values_and_no_deeper() -> None:
    def nested(depth: int) -> Box[Any]:
        box: Box[Any] = Box[Any](value=1)
        for _ in range(depth - 1):
            box = Box[Any](value=box)
        return box

    assert there_and_back(nested(100)) == nested(100)
    with pytest.raises(PayloadError, match="nested deeper than 100"):
        encode(nested(101))


@activity
def echo(owner: Owner) -> Owner:
    assert owner.pet == REX
    return owner


@workflow
async def child(owner: Owner) -> Owner:
    return await echo(owner)


@workflow
async def parent(owner: Owner) -> Owner:
    return await (await start_child(child(owner)))


def test_a_model_passes_through_workflows_children_and_activities_unchanged() -> None:
    owner = Owner(pet=REX)
    back = run_sync(parent(owner))
    assert back == owner
    assert back.model_fields_set == {"pet"}
