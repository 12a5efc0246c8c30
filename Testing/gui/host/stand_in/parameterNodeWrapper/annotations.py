"""What may stand in `typing.Annotated[type, ...]`: a default, validators, and hints for widgets."""

from __future__ import annotations

from dataclasses import dataclass


class Validator:
    def validate(self, value):
        raise NotImplementedError


class _Says(Validator):
    """A validator made of one condition and what is said when it does not hold."""

    def validate(self, value):
        if not self.holds(value):
            raise ValueError(f"{value!r} is refused by {self}")


@dataclass(frozen=True)
class NotNone(_Says):
    def holds(self, value):
        return value is not None


@dataclass(frozen=True)
class IsInstance(Validator):
    classtype: type | tuple

    def validate(self, value):
        if value is not None and not isinstance(value, self.classtype):
            raise TypeError(f"{value!r} is refused by {self}")


@dataclass(frozen=True)
class Minimum(_Says):
    minimum: float

    def holds(self, value):
        return value >= self.minimum


@dataclass(frozen=True)
class Maximum(_Says):
    maximum: float

    def holds(self, value):
        return value <= self.maximum


@dataclass(frozen=True)
class WithinRange(_Says):
    minimum: float
    maximum: float

    def holds(self, value):
        return self.minimum <= value <= self.maximum


@dataclass(frozen=True)
class Choice(_Says):
    choices: object

    def holds(self, value):
        return value in self.choices


@dataclass(frozen=True)
class Exclude(_Says):
    excludedValues: object

    def holds(self, value):
        return value not in self.excludedValues


class Default:
    def __init__(self, value=None, *, generator=None):
        self._value, self._generator = value, generator

    @property
    def value(self):
        return self._value if self._generator is None else self._generator()


@dataclass(frozen=True)
class Decimals:
    value: int


@dataclass(frozen=True)
class SingleStep:
    value: float
