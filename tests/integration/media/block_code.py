"""A frame's own number, drawn into its luma so large that it survives any encoding.

`segtriton_client.numbered_clip` has another code, for the exporter's and the doctor's looks, which fills the picture:
what tests the product is not made of it.
"""

import numpy as np
from numpy.typing import NDArray

CELL = 8
_COLUMNS, _ROWS = 8, 2
_BITS = _COLUMNS * _ROWS // 2  # each bit stands twice, the second time inverted
_DARK, _LIGHT = 40, 210

Plane = NDArray[np.uint8]


def draw_number(luma: Plane, number: int) -> None:
    """Draw a number from 0 to 255 into the top left corner of a luma plane [h, w]."""
    bits = [number >> position & 1 for position in range(_BITS)]
    for position, bit in enumerate([*bits, *(1 - bit for bit in bits)]):
        row, column = divmod(position, _COLUMNS)
        luma[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL] = _LIGHT if bit else _DARK


def read_number(luma: Plane) -> int | None:
    """Return the number in a luma plane [h, w], None where it cannot be read."""
    cells = luma[: _ROWS * CELL, : _COLUMNS * CELL].astype(float)
    means = cells.reshape(_ROWS, CELL, _COLUMNS, CELL)[:, 2:-2, :, 2:-2].mean(axis=(1, 3)).ravel()
    bits, inverse = means[:_BITS], means[_BITS:]
    if np.abs(bits - inverse).min() < (_LIGHT - _DARK) / 2:
        return None
    return sum(1 << position for position in range(_BITS) if bits[position] > inverse[position])
