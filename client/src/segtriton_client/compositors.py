"""Effects drawn on the client, from a mask and the full-size picture: the look of the server's."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import av
import numpy as np
from numpy.typing import NDArray

from segtriton_client.background import Background
from segtriton_protocol import OutputSpec
from segtriton_protocol.look import (
    BLUR_SIGMA_AT_FULL_STRENGTH,
    EDGE_SIGMA_CELLS,
    RAMP_OFFSET,
    RAMP_SLOPE,
    blur_grid,
    blur_sigma_cells,
    edge_grid,
    edge_weights,
    effect_grid,
)

LOCAL_EFFECTS = ("cutout",)
"""Effects that only the client draws."""

_OPAQUE = 255

Plane = NDArray[np.uint8]
Compose = Callable[[Plane, Plane, Fraction], Plane]
"""(picture RGB [h, w, 3], mask [m, n], time in seconds) to a composite [h, w, 3], or with alpha [h, w, 4]."""

_RAMP = np.clip(np.rint(np.arange(256) * RAMP_SLOPE + RAMP_OFFSET), 0, 255).astype(np.uint8)


def make_compose(effect: str, spec: OutputSpec, background: Background | None = None) -> Compose:
    """Return what draws an effect: one of the server's, `image` (needs a background) or `cutout`."""
    color = np.array(spec.color_rgb, np.uint8)
    own = own_colors if spec.despill else lambda rgb, mask, subject: rgb
    match effect:
        case "mask":
            return lambda rgb, mask, time: np.repeat(resize(mask, rgb.shape)[..., None], 3, axis=2)
        case "overlay":
            return lambda rgb, mask, time: mix(color, rgb, _scaled(subject_of(mask, rgb.shape), spec.strength))
        case "color":
            return lambda rgb, mask, time: _before(color, *_cut_out(rgb, mask, own))
        case "cutout":
            return lambda rgb, mask, time: np.dstack(_cut_out(rgb, mask, own))
        case "image":
            assert background is not None, "the image effect has a background"
            return lambda rgb, mask, time: _before(background.at(time, rgb.shape), *_cut_out(rgb, mask, own))
        case _:
            return lambda rgb, mask, time: _blur(rgb, mask, spec.strength)


def subject_of(mask: Plane, shape: tuple[int, ...]) -> Plane:
    """The mask at the size of a picture of `shape`, decided by the ramp on the grid, as the server does it."""
    grid_hw, _ = effect_grid((shape[0], shape[1]))
    return resize(_RAMP[resize(mask, grid_hw)], shape)


def own_colors(rgb: Plane, mask: Plane, subject: Plane) -> Plane:
    """A picture whose soft edges show the subject's own colour, as the server draws them (see its `edge_colors`).

    Args:
        rgb: the picture [h, w, 3].
        mask: [m, n].
        subject: how much each pixel shows of the subject [h, w], 0 to 255.
    """
    edges = np.flatnonzero((subject > 0) & (subject < _OPAQUE))
    if not len(edges):
        return rgb
    (grid_hw, scale), columns = effect_grid((rgb.shape[0], rgb.shape[1])), rgb.shape[1]
    cells = edges // columns // scale * grid_hw[1] + edges % columns // scale
    foreground, background = (resize(colors, grid_hw).reshape(-1, 3)[cells] for colors in _edge_colors(rgb, mask))
    share = subject.ravel()[edges, None] * np.float32(1 / _OPAQUE)
    mixed = rgb.reshape(-1, 3)[edges]
    own = foreground + share * (mixed - share * foreground - (1 - share) * background)
    cleaned: Plane = rgb.copy()
    cleaned.reshape(-1, 3)[edges] = np.clip(np.rint(own), 0, _OPAQUE)
    return cleaned


def _edge_colors(rgb: Plane, mask: Plane) -> tuple[Plane, Plane]:
    """The colours [m, n, 3] of foreground and background near each place, on the grid for edges."""
    grid_hw, scale = effect_grid((rgb.shape[0], rgb.shape[1]))
    edge_hw = edge_grid(grid_hw)
    # A pixel of each cell is enough: many of them are averaged.
    cells = resize(rgb[scale // 2 :: scale, scale // 2 :: scale], edge_hw, "AREA")
    levels = resize(_RAMP[resize(mask, grid_hw)], edge_hw, "AREA")
    kernel = _gaussian(EDGE_SIGMA_CELLS)
    weights = edge_weights().astype(np.float32)
    return _mean_colors(cells, weights[levels], kernel), _mean_colors(cells, weights[::-1][levels], kernel)


def _mean_colors(cells: Plane, weight: NDArray[np.float32], kernel: NDArray[np.float32]) -> Plane:
    means = _smoothen(cells * weight[..., None], kernel) / _smoothen(weight[..., None], kernel)
    return np.asarray(np.rint(means), np.uint8)


def _cut_out(rgb: Plane, mask: Plane, own: Callable[[Plane, Plane, Plane], Plane]) -> tuple[Plane, Plane]:
    """The colours of a subject [h, w, 3], and how much each pixel shows of it [h, w]."""
    subject = subject_of(mask, rgb.shape)
    return own(rgb, mask, subject), subject


def _before(background: Plane, rgb: Plane, subject: Plane) -> Plane:
    return mix(rgb, background, subject)


def resize(plane: Plane, shape: tuple[int, ...], interpolation: str = "BILINEAR") -> Plane:
    """Scale a plane [h, w] or a picture [h, w, 3] to the height and width that `shape` begins with."""
    if plane.shape[:2] == shape[:2]:
        return plane
    kind = "gray" if plane.ndim == 2 else "rgb24"
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(plane), kind)
    scaled = frame.reformat(shape[1], shape[0], kind, interpolation=interpolation)
    return np.asarray(scaled.to_ndarray(), np.uint8)


def mix(inside: Plane, outside: Plane, weight: Plane) -> Plane:
    """`inside` where `weight` [h, w] is 255, `outside` where it is 0: pictures [h, w, 3] or one colour [3]."""
    share = weight[..., None].astype(np.uint16)
    total = inside * share + outside * (255 - share) + 128
    mixed: Plane = ((total + (total >> 8)) >> 8).astype(np.uint8)
    return mixed


def _scaled(weight: Plane, strength: float) -> Plane:
    return np.asarray(np.rint(weight * np.float32(strength)), np.uint8)


def _blur(rgb: Plane, mask: Plane, strength: float) -> Plane:
    """Blur the background alone (Knutsson and Westin, "Normalized and Differential Convolution", 1993)."""
    size_hw = (rgb.shape[0], rgb.shape[1])
    grid_hw, scale = effect_grid(size_hw)
    sigma_pixels = strength * BLUR_SIGMA_AT_FULL_STRENGTH * min(size_hw)
    blur_hw, blur_scale = blur_grid(sigma_pixels, grid_hw, scale)
    opacity = np.bitwise_not(resize(_RAMP[resize(mask, grid_hw)], blur_hw, "AREA"))
    weight = _shrink_by_one(opacity).astype(np.float32) + 1  # where there is no background, the picture's own colour
    weighted = resize(rgb, blur_hw, "AREA") * weight[..., None]
    kernel = _gaussian(blur_sigma_cells(sigma_pixels, blur_scale))
    blurred = _smoothen(weighted, kernel) / _smoothen(weight[..., None], kernel)
    background = resize(np.rint(blurred).astype(np.uint8), rgb.shape, "BICUBIC")
    return mix(rgb, background, subject_of(mask, rgb.shape))


def _shrink_by_one(plane: Plane) -> Plane:
    """The least of each cell and its eight neighbours."""
    framed = np.pad(plane, 1, mode="edge")
    rows = np.minimum(np.minimum(framed[:-2], framed[1:-1]), framed[2:])
    return np.minimum(np.minimum(rows[:, :-2], rows[:, 1:-1]), rows[:, 2:])


def _gaussian(sigma: float) -> NDArray[np.float32]:
    reach = round(3 * sigma)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return np.asarray(weights / weights.sum(), np.float32)


def _smoothen(cells: NDArray[np.float32], kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    """Convolve [h, w, c] with a kernel, down and across."""
    for axis in (0, 1):
        reach = len(kernel) // 2
        framed = np.pad(cells, [(reach * (axis == at), reach * (axis == at)) for at in range(3)], mode="symmetric")
        parts = (np.take(framed, range(at, at + cells.shape[axis]), axis) * weight for at, weight in enumerate(kernel))
        cells = np.asarray(sum(parts), np.float32)
    return cells
