"""The coarse grids on which effects are computed, and the mask's ramp: one look on every device, and on the client."""

from math import sqrt

import numpy as np
from numpy.typing import NDArray

# Networks answer with about 144 rows: a much coarser grid would lose the mask's edge, a finer one gains nothing.
_FEWEST_GRID_ROWS = 128
_COARSEST_SCALE = 16

# A blur must spread over this many cells or the grid on which it is computed shows through. At 0.9 cells (720p, default
# strength) the result differs from a true Gaussian of the full picture by 49 dB, at 1.8 by 54 dB: nobody sees either.
_FEWEST_SIGMA_CELLS = 0.8
_FEWEST_BLUR_ROWS = 32
_LEAST_SIGMA_CELLS = 0.6

# Probabilities below 0.2 show no subject and above 0.8 nothing else: a network's weak guesses would otherwise
# shine through as half-sharp patches of background.
_SURELY_BACKGROUND, _SURELY_SUBJECT = 0.2, 0.8
RAMP_SLOPE = 1.0 / (_SURELY_SUBJECT - _SURELY_BACKGROUND)
RAMP_OFFSET = -255.0 * _SURELY_BACKGROUND * RAMP_SLOPE

# At full strength the blur's standard deviation is this part of the picture's shorter side, so that one strength
# looks the same at every size (default strength at 720p: 14.4 pixels).
BLUR_SIGMA_AT_FULL_STRENGTH = 0.04

# The colours on both sides of a soft edge are means over about this many cells of a grid of a quarter of the effect's
# resolution, 24 pixels of 720p; wider ones took out no more.
EDGE_SIGMA_CELLS = 1.5
# A cell counts by this power of its share of the foreground, so that mixtures hardly do; and never not at all.
_EDGE_POWER, _LEAST_EDGE_WEIGHT = 16, 1e-5


def effect_grid(picture_hw: tuple[int, int]) -> tuple[tuple[int, int], int]:
    """Rows and columns of cells for pictures of one size, and the pixels of luma to one cell: a power of two."""
    scale = 1
    while 2 * scale <= _COARSEST_SCALE and min(picture_hw) >= 2 * scale * _FEWEST_GRID_ROWS:
        scale *= 2
    return (-(-picture_hw[0] // scale), -(-picture_hw[1] // scale)), scale


def blur_grid(sigma_pixels: float, grid_hw: tuple[int, int], scale: int) -> tuple[tuple[int, int], int]:
    """The same for the grid of a blur, which may be coarser the wider the blur is."""
    blur_hw = grid_hw
    while sigma_pixels / (2 * scale) >= _FEWEST_SIGMA_CELLS and min(blur_hw) >= 2 * _FEWEST_BLUR_ROWS:
        blur_hw, scale = ((blur_hw[0] + 1) // 2, (blur_hw[1] + 1) // 2), 2 * scale
    return blur_hw, scale


def blur_sigma_cells(sigma_pixels: float, scale: int) -> float:
    """The standard deviation that is left to blur on a grid.

    Shrinking by means blurs too, by 1/12 of a cell squared, and enlarging by a little more.
    """
    variance = (sigma_pixels / scale) ** 2 - (0.1 if scale > 1 else 0.0)
    return sqrt(max(variance, _LEAST_SIGMA_CELLS**2))


def edge_grid(grid_hw: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of the grid on which the colours along soft edges are estimated, for an effect's grid."""
    return (grid_hw[0] + 3) // 4, (grid_hw[1] + 3) // 4


def edge_weights() -> NDArray[np.float64]:
    """How much a cell counts as foreground, for each level of the subject, [256]; backwards, as background."""
    return (np.arange(256) / 255) ** _EDGE_POWER + _LEAST_EDGE_WEIGHT
