"""Reads the fields of a JSON object with types and bounds; every refusal names the field."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable
from fractions import Fraction
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from segtriton_protocol.errors import ErrorCode, SegtritonError, finite_number

MAX_JSON_BYTES = 1 << 20
_MAX_INTEGER = 2**63 - 1
# What FFmpeg's rationals hold.
_MAX_FRACTION_PART = 2**31 - 1


def encode_json(wire: dict[str, Any]) -> NDArray[np.uint8]:
    """Return a JSON object as a tensor, UINT8 [bytes]."""
    return np.frombuffer(json.dumps(wire, separators=(",", ":")).encode(), np.uint8)


def encode_bytes(content: bytes) -> str:
    """Return bytes as the text that `JsonFields.binary` reads."""
    return base64.b64encode(content).decode("ascii")


def encode_fraction(value: Fraction | None) -> list[int] | None:
    """Return a fraction as the pair that `JsonFields.fraction` reads."""
    return None if value is None else [value.numerator, value.denominator]


class JsonFields:
    """One JSON object, read field by field."""

    def __init__(self, wire: object, name: str) -> None:
        if not isinstance(wire, dict):
            raise SegtritonError(ErrorCode.INVALID_MESSAGE, f"{name} must be a JSON object.")
        self.wire: dict[str, Any] = wire
        self.name = name

    @classmethod
    def parse(cls, tensor: NDArray[np.generic], name: str) -> JsonFields:
        """Parse a tensor, UINT8 [bytes], that holds a JSON object of at most `MAX_JSON_BYTES`."""
        if tensor.nbytes > MAX_JSON_BYTES:
            raise SegtritonError(ErrorCode.INVALID_MESSAGE, f"{name} has more than {MAX_JSON_BYTES} bytes.")
        try:
            wire = json.loads(tensor.tobytes().decode())
        except (ValueError, RecursionError):
            wire = None
        return cls(wire, name)

    def refuse(self, key: str, want: str) -> SegtritonError:
        """Return the error that says what the field should have been."""
        return SegtritonError(
            ErrorCode.INVALID_MESSAGE, f"{self.name}.{key} must be {want}, not {self.wire.get(key)!r:.80}."
        )

    def text(self, key: str, default: str | None = None, max_length: int = 256) -> str:
        """Return a string field."""
        value = self.wire.get(key, default)
        if not isinstance(value, str) or len(value) > max_length:
            raise self.refuse(key, f"a text of at most {max_length} characters")
        return value

    def choice(self, key: str, choices: Iterable[str], default: str | None = None) -> str:
        """Return a string field that is one of `choices`."""
        allowed = tuple(choices)
        value = self.wire.get(key, default)
        if value not in allowed:
            raise self.refuse(key, f"one of {', '.join(allowed)}")
        return str(value)

    def integer(self, key: str, low: int, high: int = _MAX_INTEGER, default: int | None = None) -> int:
        """Return an integer field within [low, high]."""
        value = self.wire.get(key, default)
        if not is_integer(value, low, high):
            raise self.refuse(key, f"an integer from {low} to {high}")
        return value

    def optional_integer(self, key: str, low: int, high: int) -> int | None:
        """Return an integer field within [low, high], or None where it is absent."""
        return None if self.wire.get(key) is None else self.integer(key, low, high)

    def boolean(self, key: str, *, default: bool) -> bool:
        """Return a field that is true or false."""
        value = self.wire.get(key, default)
        if not isinstance(value, bool):
            raise self.refuse(key, "true or false")
        return value

    def number(self, key: str, low: float, high: float, default: float | None = None) -> float:
        """Return a finite number within [low, high]."""
        value = self.wire.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise self.refuse(key, f"a number from {low} to {high}")
        return float(value)

    def fraction(self, key: str, high: int = _MAX_FRACTION_PART) -> Fraction | None:
        """Return a positive [numerator, denominator] field of at most `high`, or None where it is absent."""
        value = self.wire.get(key)
        if value is None:
            return None
        if (
            not isinstance(value, list)
            or len(value) != 2
            or not all(is_integer(part, 1, _MAX_FRACTION_PART) for part in value)
            or value[0] > high * value[1]
        ):
            raise self.refuse(key, f"a pair of positive integers, and at most {high}")
        return Fraction(value[0], value[1])

    def binary(self, key: str, max_length: int) -> bytes:
        """Return a base64 field of at most `max_length` bytes."""
        value = self.wire.get(key, "")
        try:
            content = base64.b64decode(value, validate=True)
        except (binascii.Error, TypeError, ValueError):
            raise self.refuse(key, "base64 text") from None
        if len(content) > max_length:
            raise self.refuse(key, f"at most {max_length} bytes")
        return content

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of strings."""
        value = self.wire.get(key, [])
        if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
            raise self.refuse(key, "a list of texts")
        return tuple(value)

    def integers(self, key: str, low: int, high: int) -> tuple[int, ...]:
        """Return a list of integers within [low, high]."""
        value = self.wire.get(key, [])
        if not isinstance(value, list) or not all(is_integer(item, low, high) for item in value):
            raise self.refuse(key, f"a list of integers from {low} to {high}")
        return tuple(value)

    def counts(self, key: str) -> dict[str, int]:
        """Return an object whose values are integers that are not negative."""
        value = self.wire.get(key, {})
        if not isinstance(value, dict) or not all(is_integer(count, 0, _MAX_INTEGER) for count in value.values()):
            raise self.refuse(key, f"an object of integers from 0 to {_MAX_INTEGER}")
        return value

    def numbers(self, key: str) -> dict[str, float]:
        """Return an object whose values are numbers."""
        value = self.wire.get(key, {})
        numbers = {name: finite_number(item) for name, item in value.items()} if isinstance(value, dict) else {}
        if not isinstance(value, dict) or None in numbers.values():
            raise self.refuse(key, "an object of numbers")
        return {name: number for name, number in numbers.items() if number is not None}

    def inner(self, key: str) -> JsonFields:
        """Return a nested object."""
        return JsonFields(self.wire.get(key), f"{self.name}.{key}")


def is_integer(value: object, low: int, high: int) -> TypeGuard[int]:
    """Whether a JSON value is an integer within [low, high]; true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
