"""Reads a card's YAML field by field and gathers every mistake, each with the key and what would be right."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Collection, Hashable
from typing import Any

import yaml

_SHOWN = reprlib.Repr()
_SHOWN.maxstring = _SHOWN.maxother = 60
_SHOWN.maxlevel = 3


class _StrictLoader(yaml.SafeLoader):
    """Refuses what SafeLoader lets pass: a key that stands twice, of which the last would win in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        seen: set[str] = set()
        for key in keys:
            if not isinstance(key, str) or key in seen:
                what = "stands twice" if isinstance(key, str) else "is no text"
                raise yaml.constructor.ConstructorError(None, None, f"the key {shown(key)} {what}", node.start_mark)
            seen.add(key)
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep)
        return mapping


def parse_yaml(text: str) -> Any:
    """Return what a YAML text holds; raises ValueError with the place where it cannot be read."""
    try:
        return yaml.load(text, _StrictLoader)
    except yaml.YAMLError as error:
        raise ValueError(f"is no YAML that can be read: {' '.join(str(error).split())}") from None
    except (RecursionError, ValueError) as error:
        raise ValueError(f"is no YAML that can be read: {error}") from None


def shown(value: object) -> str:
    """Return a value as a message names it, short however large it is."""
    return _SHOWN.repr(value)


class Section:
    """A mapping of a card. What cannot be taken is noted in `mistakes`, and a value of the right type stands for it."""

    def __init__(self, value: object, path: str, keys: Collection[str], mistakes: list[str]) -> None:
        self._path = path
        self._mistakes = mistakes
        self._values: dict[str, Any] = value if isinstance(value, dict) else {}
        if not isinstance(value, dict):
            self._mistakes.append(f"{path or 'the card'} must be a mapping with {', '.join(keys)}, not {shown(value)}")
        for key in self._values:
            if key not in keys:
                self._mistakes.append(f"{self.name(key)} is no key; there is {', '.join(keys)}")

    def name(self, key: str) -> str:
        """Return a key with those that it lies in."""
        return f"{self._path}.{key}" if self._path else key

    def refuse(self, key: str, want: str) -> None:
        """Note that a field is not what it must be."""
        have = f"not {shown(self._values[key])}" if key in self._values else "and is missing"
        self._mistakes.append(f"{self.name(key)} must be {want}, {have}")

    def has(self, key: str) -> bool:
        """Whether a field is there, and not null."""
        return self._values.get(key) is not None

    def value(self, key: str) -> Any:
        """Return a field as it stands."""
        return self._values.get(key)

    def text(self, key: str, max_length: int = 200) -> str:
        """Return a text of one line."""
        value = self._values.get(key)
        if isinstance(value, str) and 0 < len(value) <= max_length and value.isprintable():
            return value
        quotes = "" if isinstance(value, str) or value is None else " in quotes"
        self.refuse(key, f"a text{quotes} of 1 to {max_length} printable characters")
        return ""

    def choice(self, key: str, choices: Collection[Any]) -> Any:
        """Return one of the choices."""
        value = self._values.get(key)
        if isinstance(value, (str, int)) and not isinstance(value, bool) and value in choices:
            return value
        self.refuse(key, f"one of {', '.join(map(str, choices))}")
        return next(iter(choices))

    def integer(self, key: str, low: int, high: int) -> int:
        """Return an integer from low to high."""
        value = self.value(key)
        if _is_integer(value, low, high):
            return int(value)
        self.refuse(key, f"an integer from {low} to {high}")
        return low

    def integers(self, key: str, low: int, high: int, most: int) -> tuple[int, ...]:
        """Return a list of one to `most` integers from low to high."""
        values = self._values.get(key)
        if isinstance(values, list) and 0 < len(values) <= most and all(_is_integer(v, low, high) for v in values):
            return tuple(values)
        self.refuse(key, f"a list of 1 to {most} integers from {low} to {high}")
        return (low,)

    def number(self, key: str) -> float:
        """Return a finite number."""
        value = self.value(key)
        if is_number(value):
            return float(value)
        self.refuse(key, "a finite number")
        return 0.0

    def sections(self, key: str, keys: Collection[str], most: int) -> list[Section]:
        """Return a list of mappings, empty where the field is absent."""
        values = self._values.get(key) if self.has(key) else []
        if not isinstance(values, list) or len(values) > most:
            self.refuse(key, f"a list of at most {most} mappings with {', '.join(keys)}")
            return []
        return [Section(value, f"{self.name(key)}[{at}]", keys, self._mistakes) for at, value in enumerate(values)]


def _is_integer(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def is_number(value: object) -> bool:
    """Whether a value is a number that a float holds."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False
