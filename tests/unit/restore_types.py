"""Types of all kinds for values to be restored to."""

from __future__ import annotations

import enum
from dataclasses import InitVar, dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Generic, NamedTuple, NewType, NotRequired, Self, TypedDict, TypeVar
from uuid import UUID

import msgspec
import pydantic

T = TypeVar("T")
B = TypeVar("B", bound=int)
C = TypeVar("C", int, str)
UserId = NewType("UserId", str)


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"
    PAIR = (1, 2)


class Access(enum.Flag):
    READ = 1
    WRITE = 2


class Sku(str):
    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        if not text:
            raise ValueError("empty")
        return super().__new__(cls, text)


@dataclass(frozen=True)
class Line:
    sku: str
    price: Decimal
    color: Color = Color.RED


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    id: UUID
    lines: list[Line] = field(default_factory=list)
    parent: Order | None = None
    placed: datetime | None = None


@dataclass
class Total:
    parts: list[float]
    scale: InitVar[float] = 1.0
    sum: float = field(init=False)

    def __post_init__(self, scale: float) -> None:
        self.sum = sum(self.parts) * scale


@dataclass
class Secret:
    name: str
    key: InitVar[str]
    digest: str = field(init=False)
    tries: int = 0

    def __post_init__(self, key: str) -> None:
        self.digest = key[::-1]


@dataclass
class Checked:
    count: int

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ValueError("count is negative")


@dataclass
class Dated:
    date: date | None = None
    other: date | None = None  # type: ignore[valid-type]


@dataclass
class Box(Generic[T]):
    inner: T
    more: list[T] = field(default_factory=list)
    next: Box[T] | None = None


@dataclass
class Ints(Box[int]):
    pass


@dataclass
class Twin:
    own: Self | None = None


@dataclass
class Cat:
    name: str
    lives: int = 9


@dataclass
class Dog:
    name: str


class Reading(msgspec.Struct, kw_only=True, rename="camel"):
    sensor_id: str
    at: date
    values: list[float] = msgspec.field(default_factory=list)


class Left(msgspec.Struct, tag=True):
    x: int


class Right(msgspec.Struct, tag=True):
    x: int


class Point(NamedTuple):
    x: int
    y: float = 0.0


class Movie(TypedDict):
    title: str
    year: NotRequired[int]


class Customer(pydantic.BaseModel):
    name: str = pydantic.Field(alias="customerName")
    born: date
    friends: list[Customer] = []


class Open(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    a: int
