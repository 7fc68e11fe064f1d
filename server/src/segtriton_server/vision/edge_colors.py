"""The subject's own colour where its edge is soft: the old background is taken out.

There a pixel shows a mixture, source = a * foreground + (1 - a) * background, and the old background would be seen as a
fringe before a new one. Both colours are estimated by blurring the source, weighted by what it surely shows (Forte,
"Approximate Fast Foreground Colour Estimation", 2021); what the estimates do not explain is the foreground's detail:

    foreground = F + a * (source - a * F - (1 - a) * B)

What is drawn of it, a * foreground, is again a part of the source and two layers on the grid.
"""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from segtriton_protocol.look import EDGE_SIGMA_CELLS, edge_grid, edge_weights
from segtriton_server.frames import Picture, Plane
from segtriton_server.vision.depth import Depth
from segtriton_server.vision.grid import Grid, Shrinker

Real = NDArray[np.float32]

_LEVELS = np.arange(256, dtype=np.float32) / 255
_KEPT = _LEVELS**2
_ADDED = _LEVELS * (1 - _LEVELS**2)
_REMOVED = _LEVELS**2 * (1 - _LEVELS)


class EdgePlanes(NamedTuple):
    """What is drawn of the subject, on the grid: source * kept - removed + added; valid until the next update."""

    kept: Plane
    removed: Plane
    added: Plane


class EdgeColors:
    """Estimates of both colours, on a grid of a quarter of the effect's resolution."""

    def __init__(self, grid: Grid, depth: Depth) -> None:
        """For the pictures of one grid."""
        self._grid = grid
        self._depth = depth
        edge_hw = edge_grid(grid.size_hw)
        self._shrinker = Shrinker(edge_hw, depth)
        kernel_size = 2 * round(3 * EDGE_SIGMA_CELLS) + 1
        self._kernel = cv2.getGaussianKernel(kernel_size, EDGE_SIGMA_CELLS, cv2.CV_32F)
        self._kept_levels = np.rint(_KEPT * (255 if depth.bits == 8 else 65535)).astype(depth.dtype)
        self._kept: Plane = np.empty(grid.size_hw, depth.dtype)
        self._removed: Plane = np.empty((3, *grid.size_hw), depth.dtype)
        self._added: Plane = np.empty((3, *grid.size_hw), depth.dtype)
        self._alpha = np.empty(edge_hw, np.uint8)
        self._weight, self._total, self._color = (np.empty(edge_hw, np.float32) for _ in range(3))
        self._share, self._large = (np.empty(grid.size_hw, np.float32) for _ in range(2))
        self._foreground_weights = edge_weights().astype(np.float32)
        self._background_weights = self._foreground_weights[::-1].copy()

    def update(self, picture: Picture, subject: NDArray[np.uint8]) -> EdgePlanes:
        """The planes for one picture; `subject` [h, w] lies on the grid."""
        rows, columns = self._alpha.shape
        channels = self._shrinker.shrink(picture)
        cv2.resize(subject, (columns, rows), dst=self._alpha, interpolation=cv2.INTER_AREA)
        cv2.LUT(subject, self._kept_levels, dst=self._kept)
        self._draw(channels, self._foreground_weights, subject, _ADDED, self._added)
        self._draw(channels, self._background_weights, subject, _REMOVED, self._removed)
        return EdgePlanes(self._kept, self._removed, self._added)

    def _draw(self, channels: Plane, weights: Real, subject: NDArray[np.uint8], shares: Real, planes: Plane) -> None:
        """Write, for each channel, a share of the colour that it has where the weights are."""
        cv2.LUT(self._alpha, weights, dst=self._weight)
        cv2.LUT(subject, shares, dst=self._share)
        self._smoothen(self._weight, self._total)
        for channel, plane in zip(channels, planes, strict=True):
            np.multiply(channel, self._weight, out=self._color)
            self._smoothen(self._color, self._color)
            np.divide(self._color, self._total, out=self._color)
            cv2.resize(self._color, self._grid.size_wh, dst=self._large, interpolation=cv2.INTER_LINEAR)
            np.multiply(self._large, self._share, out=self._large)
            self._depth.round(self._large, plane)

    def _smoothen(self, cells: Real, out: Real) -> None:
        cv2.sepFilter2D(cells, -1, self._kernel, self._kernel, dst=out, borderType=cv2.BORDER_REFLECT)
