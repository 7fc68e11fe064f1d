"""Steadier masks with finer edges: what happens to a session's masks between the network and the drawing."""

import cv2
import numpy as np
from numpy.typing import NDArray

from segtriton_protocol.look import effect_grid
from segtriton_protocol.matte_spec import MatteSpec
from segtriton_server.frames import Picture
from segtriton_server.vision.resampling import shrink, shrink_to_8_bits

Plane = NDArray[np.uint8]
Real = NDArray[np.float32]

# A mask that differs by this much (of 255) is another one, and no flicker: unless the picture is still there, that is
# unless its luma differs by less than this in the mean of a pixel and its neighbours.
REAL_CHANGE = 96.0
_LUMA_MOVES = 18.0
# The mean difference of the network's inputs (of 255) from which on the last mask is not taken again.
_PICTURE_MOVES = 0.02 * 255
# The widest feather, and the reach of the edge filter, as a part of the shorter side.
_FEATHER_AT_FULL, _EDGE_REACH = 0.08, 0.015
# How much the picture's light must vary (its variance, of 1) to be an edge.
_EDGE_VARIANCE = 1e-3
# The filter softens what it moves, so edges are made steeper again. On composites of known alpha
# (`tests/bench/matte.py`) the mean difference is 23.8 of 1000 as it comes out, and 21.5 with edges twice as steep.
# A narrower or a wider reach differs by less than 0.1.
_EDGE_STEEPNESS = 2.0


class Matte:
    """One session's masks; frames come in order. `wants_mask` and `refine` may be called from two threads.

    Attributes:
        remembers: whether a mask depends on those of earlier frames.
    """

    def __init__(self, spec: MatteSpec, size_hw: tuple[int, int], mask_hw: tuple[int, int] | None = None) -> None:
        """Take what to do for pictures of `size_hw`; masks come out at `mask_hw` where it is given."""
        self.remembers = spec.smoothing > 0 or spec.mask_every > 1
        self._spec = spec
        self._grid_hw = effect_grid(size_hw)[0]
        self._mask_hw = mask_hw
        self._asked_input: Plane | None = None
        self._num_since = 0
        self._last: Plane | None = None
        self._steady: Real | None = None
        self._last_luma: Plane | None = None

    def wants_mask(self, network_input: Plane) -> bool:
        """Whether the network is to run for a frame, by its input [h, w, 3]."""
        self._num_since += 1
        asked = self._asked_input
        if asked is not None and self._num_since < self._spec.mask_every and not _moves(asked, network_input):
            return False
        self._asked_input, self._num_since = network_input, 0
        return True

    def restart(self) -> None:
        """Let the next mask to refine not depend on those before, but where it is the last one again."""
        self._steady = None

    def refine(self, picture: Picture, mask: Plane | None) -> Plane:
        """The mask to draw, [h, w]; None takes the last one again."""
        if mask is not None:
            self._last = mask
        assert self._last is not None, "the first frame of a session wants a mask"
        refined = self._steadied(self._last, picture)
        if self._spec.edges:
            refined = self._drawn_to_edges(refined, picture)
        if self._spec.feather:
            refined = _feathered(refined, self._spec.feather)
        if self._mask_hw is not None and refined.shape != self._mask_hw:
            refined = shrink(refined, self._mask_hw)
        return refined

    def _steadied(self, mask: Plane, picture: Picture) -> Plane:
        """Follow the mask at once where it and the picture change, and slowly where one of them hardly does."""
        if not self._spec.smoothing:
            return mask
        luma = shrink_to_8_bits(_luma(picture), (mask.shape[0], mask.shape[1]))
        last_luma, self._last_luma = self._last_luma, luma
        if self._steady is None or last_luma is None:
            self._steady = mask.astype(np.float32)
            return mask
        change = mask - self._steady
        luma_change = cv2.blur(cv2.absdiff(luma, last_luma), (3, 3))
        moved = np.abs(change)
        moved /= np.float32(REAL_CHANGE)
        np.minimum(moved, luma_change * np.float32(1 / _LUMA_MOVES), out=moved)
        np.minimum(moved, 1, out=moved)
        moved *= np.float32(self._spec.smoothing)
        moved += np.float32(1 - self._spec.smoothing)
        self._steady += change * moved
        return cv2.convertScaleAbs(self._steady)  # type: ignore[return-value]

    def _drawn_to_edges(self, mask: Plane, picture: Picture) -> Plane:
        """Make the mask a linear function of the picture, piece by piece.

        He, Sun and Tang, "Guided Image Filtering", 2013.
        """
        guide = shrink_to_8_bits(_luma(picture), self._grid_hw).astype(np.float32) / 255
        coarse = cv2.resize(mask, self._grid_hw[::-1], interpolation=cv2.INTER_LINEAR).astype(np.float32)
        reach = max(1, round(_EDGE_REACH * min(self._grid_hw)))
        side = (2 * reach + 1, 2 * reach + 1)
        # In place, as new memory for each step takes as long as the step.
        mean_guide, offset = _means(guide, side), _means(coarse, side)
        variance = _means(guide * guide, side)
        variance -= mean_guide * mean_guide
        variance += np.float32(_EDGE_VARIANCE)
        slope = _means(guide * coarse, side)
        slope -= mean_guide * offset
        slope /= variance
        offset -= slope * mean_guide
        drawn = _means(slope, side)
        drawn *= guide
        drawn += _means(offset, side)
        share = self._spec.edges or 0.0
        middle = share * 127.5 * (1 - _EDGE_STEEPNESS)
        mixed = cv2.addWeighted(drawn, share * _EDGE_STEEPNESS, coarse, 1 - share, middle, dtype=cv2.CV_8U)
        return mixed  # type: ignore[return-value]


def _means(plane: Real, side: tuple[int, int]) -> Real:
    return cv2.blur(plane, side)  # type: ignore[return-value]


def _moves(before: Plane, after: Plane) -> bool:
    change = np.subtract(after[::2, ::2], before[::2, ::2], dtype=np.int16)
    return float(np.abs(change).mean()) > _PICTURE_MOVES


def _luma(picture: Picture) -> Plane:
    return cv2.cvtColor(picture.planes[0], cv2.COLOR_RGB2GRAY) if picture.is_rgb else picture.planes[0]  # type: ignore[return-value]


def feather_reach(feather: float, size_hw: tuple[int, ...]) -> int:
    """How far an edge widens, in cells of a mask of that size."""
    return max(1, round(abs(feather) * _FEATHER_AT_FULL * min(size_hw)))


def _feathered(mask: Plane, feather: float) -> Plane:
    """Widen the edge: outwards it begins at the old one's outside, inwards it ends at its inside."""
    reach = feather_reach(feather, mask.shape)
    soft = cv2.blur(cv2.blur(mask, (2 * reach + 1, 2 * reach + 1)), (2 * reach + 1, 2 * reach + 1))
    return cv2.addWeighted(soft, 2.0, soft, 0.0, 0.0 if feather > 0 else -255.0)  # type: ignore[return-value]
