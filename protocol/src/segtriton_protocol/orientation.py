"""How stored pictures are turned and mirrored to be seen: the eight orientations of a display matrix and of EXIF."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

_Sample = TypeVar("_Sample", bound=np.generic)

MATRIX_ENTRIES = 9
_QUARTER = 90
_FULL_TURN = 360
# Where FFmpeg's layout has the factors of a column's and of a row's number.
_X_BY_COLUMN, _Y_BY_COLUMN, _X_BY_ROW, _Y_BY_ROW = 0, 1, 3, 4


@dataclass(frozen=True, slots=True)
class Orientation:
    """What makes the shown picture of the stored one: a transposition, then flips, each if it is set."""

    is_transposed: bool = False
    flips_columns: bool = False
    flips_rows: bool = False

    @classmethod
    def from_matrix(cls, matrix: Sequence[int]) -> Orientation:
        """Return the orientation that is nearest to a display matrix, nine integers in FFmpeg's layout, or ()."""
        if not matrix:
            return cls()
        x_by_column, y_by_column = matrix[_X_BY_COLUMN], matrix[_Y_BY_COLUMN]
        x_by_row, y_by_row = matrix[_X_BY_ROW], matrix[_Y_BY_ROW]
        if abs(x_by_column) + abs(y_by_row) >= abs(y_by_column) + abs(x_by_row):
            return cls(flips_columns=x_by_column < 0, flips_rows=y_by_row < 0)
        return cls(is_transposed=True, flips_columns=x_by_row < 0, flips_rows=y_by_column < 0)

    @classmethod
    def from_rotation(cls, degrees: int) -> Orientation:
        """Return the orientation that is nearest to a turn clockwise."""
        turns = round(degrees % _FULL_TURN / _QUARTER) % 4
        return cls(is_transposed=turns % 2 == 1, flips_columns=turns in (1, 2), flips_rows=turns in (2, 3))

    @property
    def rotation(self) -> int:
        """By how many degrees clockwise a picture is turned, after it was mirrored left to right if `is_mirrored`."""
        if self.is_transposed:
            return _QUARTER if self.flips_columns else 3 * _QUARTER
        return 2 * _QUARTER if self.flips_rows else 0

    @property
    def is_mirrored(self) -> bool:
        """Whether left and right are exchanged, as in a mirror."""
        return (self.is_transposed + self.flips_columns + self.flips_rows) % 2 == 1

    def stored_hw(self, shown_hw: tuple[int, int]) -> tuple[int, int]:
        """Return the height and width of the stored picture of a shown one, and the other way round."""
        return shown_hw[::-1] if self.is_transposed else shown_hw

    def to_shown(self, stored: NDArray[_Sample]) -> NDArray[_Sample]:
        """Return a view of a stored picture or mask [h, w, ...] as it is seen."""
        turned = stored.swapaxes(0, 1) if self.is_transposed else stored
        return self._flipped(turned)

    def to_stored(self, shown: NDArray[_Sample]) -> NDArray[_Sample]:
        """Return a view of what is seen [h, w, ...] as it is stored."""
        flipped = self._flipped(shown)
        return flipped.swapaxes(0, 1) if self.is_transposed else flipped

    def _flipped(self, picture: NDArray[_Sample]) -> NDArray[_Sample]:
        rows, columns = -1 if self.flips_rows else 1, -1 if self.flips_columns else 1
        return picture[::rows, ::columns]


UPRIGHT = Orientation()
