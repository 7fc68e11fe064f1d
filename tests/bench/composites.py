"""Clips whose alpha is known exactly: a person, cut from one sample clip, laid over others.

The person of carphone was cut by hand and by colour, and by no network, so that none is favoured: outlines were drawn
by hand on three frames (`_OUTLINES`), the head's moved for those between (`_HEADS`), and OpenCV's GrabCut found the
outline in a band of a few pixels around them. The edge is then softened, and the colours from inside the person spread
into it, so that nothing of the old background shows. What the cut may have got wrong is no error of the truth: alpha is
what the composites are made with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from math import cos, pi, radians, sin
from pathlib import Path
from typing import NamedTuple

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from segtriton_server.frames import Picture
from segtriton_server.media.libav_decoder import plane_views

CLIPS = Path(__file__).parents[2] / ".assets" / "clips"
NUM_FRAMES = 50

Real = NDArray[np.float32]
Bytes = NDArray[np.uint8]
Points = NDArray[np.float32]

# x and y in the clip's pixels, from the lower left clockwise around the person; the same point has the same place.
# fmt: off
_OUTLINES: dict[int, list[tuple[int, int]]] = {
    24: [(30, 144), (31, 132), (34, 124), (41, 117), (52, 111), (62, 105), (72, 100), (76, 96), (72, 90), (69, 83),
         (64, 72), (63, 66), (60, 58), (59, 45), (60, 35), (63, 27), (71, 19), (80, 15), (86, 13), (93, 15), (101, 21),
         (106, 26), (111, 35), (112, 45), (112, 55), (115, 60), (115, 70), (114, 78), (111, 84), (110, 92), (116, 93),
         (130, 91), (151, 90), (156, 95), (162, 105), (168, 110), (176, 112), (176, 144)],
    48: [(25, 144), (26, 132), (30, 125), (38, 119), (50, 111), (60, 104), (67, 101), (68, 98), (66, 92), (62, 86),
         (57, 78), (55, 72), (52, 65), (48, 53), (47, 42), (50, 29), (58, 21), (67, 16), (75, 14), (84, 18), (90, 22),
         (94, 28), (99, 34), (102, 45), (102, 55), (105, 59), (106, 70), (105, 78), (104, 86), (105, 91), (110, 91),
         (125, 88), (145, 85), (150, 89), (157, 98), (163, 104), (176, 110), (176, 144)],
    72: [(19, 144), (19, 132), (24, 124), (33, 117), (45, 110), (56, 103), (66, 96), (69, 95), (65, 88), (61, 82),
         (56, 75), (53, 68), (50, 58), (45, 45), (44, 34), (47, 20), (54, 11), (62, 7), (73, 2), (83, 8), (90, 13),
         (96, 18), (101, 29), (104, 40), (104, 50), (107, 52), (107, 64), (107, 72), (105, 80), (106, 84), (114, 83),
         (128, 80), (151, 76), (156, 81), (164, 90), (168, 95), (176, 99), (176, 144)],
}
# fmt: on
# Where the head does not move evenly: the frame whose head it has, and how far that is moved.
_HEADS = {28: (24, -2, 0), 32: (24, -7, 1), 36: (48, -1, 0), 60: (48, -1, 0), 66: (72, -1, 2)}
_HEAD = slice(7, 30)
_ENLARGED = 4
_BAND_PIXELS = 3.5
_EDGE_SIGMA = 2.0  # of enlarged pixels, about as soft as the clip itself


class Cutout(NamedTuple):
    """The person in one frame of the clip: RGB [h, w, 3] of 0 to 255 and alpha [h, w] of 0 to 1."""

    colors: Real
    alpha: Real


@dataclass(frozen=True)
class Placement:
    """Where a person is at one moment: parts of the picture's width and height, the scale 1 as high as the picture."""

    x: float
    y: float
    scale: float
    degrees: float = 0.0
    is_mirrored: bool = False
    frame: int = 0


@dataclass(frozen=True)
class Scene:
    """A composite: a background, and the people before it at each frame."""

    name: str
    background: Callable[[], list[Bytes]]
    people: Callable[[int], tuple[Placement, ...]]
    size_wh: tuple[int, int] = (1280, 720)

    def frames(self) -> Iterator[tuple[Picture, Real]]:
        """Each picture, yuv420p, and its alpha [h, w] of 0 to 1."""
        backgrounds = self.background()
        for at in range(NUM_FRAMES):
            rgb = _filling(backgrounds[at % len(backgrounds)], self.size_wh).astype(np.float32)
            alpha = np.zeros(rgb.shape[:2], np.float32)
            for person in self.people(at):
                colors, covered = _placed(cut_person()[_to_and_fro(person.frame)], person, self.size_wh)
                rgb += covered[..., None] * (colors - rgb)
                alpha += covered * (1 - alpha)
            yield to_picture(np.rint(np.clip(rgb, 0, 255)).astype(np.uint8)), alpha


def to_picture(rgb: Bytes) -> Picture:
    """RGB [h, w, 3] as the server's decoder would give it."""
    return Picture(plane_views(av.VideoFrame.from_ndarray(rgb, "rgb24").reformat(format="yuv420p")))


@cache
def read_rgb(clip: str) -> list[Bytes]:
    """All frames of a sample clip, RGB [h, w, 3]."""
    with av.open(str(CLIPS / clip)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


@cache
def cut_person() -> list[Cutout]:
    """The person in the frames from the first outline to the last."""
    frames = read_rgb("carphone_pristine.mp4")
    outlines = _outlines_by_frame()
    numbers = sorted(outlines)
    cutouts = []
    for number in range(numbers[0], numbers[-1] + 1):
        points = np.array([np.interp(number, numbers, [outlines[key][at] for key in numbers]) for at in _flat_range()])
        cutouts.append(_cut(frames[number], points.reshape(-1, 2).astype(np.float32)))
    return cutouts


def _flat_range() -> range:
    return range(2 * len(_OUTLINES[24]))


def _outlines_by_frame() -> dict[int, Points]:
    """The outlines drawn, and those with a moved head, each [2 * points]."""
    drawn = sorted(_OUTLINES)
    outlines = {number: np.array(points, np.float32).ravel() for number, points in _OUTLINES.items()}
    for number, (other, right, down) in _HEADS.items():
        flat = np.array([np.interp(number, drawn, [outlines[key][at] for key in drawn]) for at in _flat_range()])
        points = flat.reshape(-1, 2)
        points[_HEAD] = np.array(_OUTLINES[other][_HEAD]) + np.array((right, down))
        outlines[number] = points.ravel().astype(np.float32)
    return outlines


def _cut(frame: Bytes, outline: Points) -> Cutout:
    rgb: Bytes = cv2.resize(frame, None, fx=_ENLARGED, fy=_ENLARGED, interpolation=cv2.INTER_CUBIC)  # type: ignore[assignment]
    inside = np.zeros(rgb.shape[:2], np.uint8)
    cv2.fillPoly(inside, [np.rint(outline * _ENLARGED).astype(np.int32)], 1)
    labels = np.where(inside > 0, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    from_outside, from_inside = (_distance(region) for region in (inside, 1 - inside))
    labels[from_outside > _BAND_PIXELS * _ENLARGED] = cv2.GC_FGD
    labels[from_inside > _BAND_PIXELS * _ENLARGED] = cv2.GC_BGD
    cv2.setRNGSeed(1)
    cv2.grabCut(rgb, labels, None, np.zeros((1, 65)), np.zeros((1, 65)), 1, cv2.GC_INIT_WITH_MASK)  # type: ignore[call-overload]
    found = np.float32(_within_sleeve(labels & 1))
    smooth = _blurred(found, 2 * _EDGE_SIGMA) > 0.5
    alpha = _blurred(np.float32(smooth), _EDGE_SIGMA)
    return Cutout(_spread(rgb.astype(np.float32), np.float32(alpha > 0.98)), alpha)


def _distance(region: Bytes) -> Real:
    """How far each pixel of a region is from its outside; the picture's border is none."""
    return cv2.distanceTransform(region, cv2.DIST_L2, 5)  # type: ignore[return-value]


def _within_sleeve(found: Bytes) -> Bytes:
    """Without the arm that leaves the clip to the right, so that the person may stand anywhere."""
    rows, columns = np.indices(found.shape) / _ENLARGED
    return np.where(columns < 156 + 18 * np.sqrt(np.clip((rows - 80) / 64, 0, 1)), found, 0).astype(np.uint8)


def _blurred(plane: Real, sigma: float) -> Real:
    return cv2.GaussianBlur(plane, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)  # type: ignore[return-value]


def _spread(colors: Real, known: Real) -> Real:
    """Fill what is not known with the means of what is, from near to far."""
    of_known = colors * known[..., None]
    filled = of_known.copy()
    is_missing = known == 0
    for side in (5, 17, 65, 257):
        weight = cv2.blur(known, (side, side))
        is_near = is_missing & (weight > 1e-3)
        filled[is_near] = cv2.blur(of_known, (side, side))[is_near] / weight[is_near, None]
        is_missing &= ~is_near
    return filled


def _to_and_fro(frame: int) -> int:
    """The cutout for a frame of any number: forwards, backwards, and so on."""
    last = len(cut_person()) - 1
    return last - abs(last - frame % (2 * last))


def _filling(frame: Bytes, size_wh: tuple[int, int]) -> Bytes:
    """The middle of a frame, enlarged to fill a size."""
    width, height = size_wh
    scale = max(width / frame.shape[1], height / frame.shape[0])
    large = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    top, left = (large.shape[0] - height) // 2, (large.shape[1] - width) // 2
    return large[top : top + height, left : left + width]  # type: ignore[return-value]


def _placed(cutout: Cutout, at: Placement, size_wh: tuple[int, int]) -> tuple[Real, Real]:
    """The colours [h, w, 3] and alpha [h, w] of a person at a place: the middle of its lower border, and its pivot."""
    width, height = size_wh
    colors, alpha = cutout
    scale = at.scale * height / alpha.shape[0]
    if scale < 1:  # means, as otherwise pixels would be left out
        colors, alpha = (cv2.resize(plane, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) for plane in cutout)
        scale = 1.0
    across, along = scale * cos(radians(at.degrees)), scale * sin(radians(at.degrees))
    mirror = -1 if at.is_mirrored else 1
    turned = np.array([[mirror * across, along], [-mirror * along, across]])
    moved = np.array([at.x * width, at.y * height]) - turned @ (alpha.shape[1] / 2, alpha.shape[0])
    matrix = np.column_stack([turned, moved])
    warped = cv2.warpAffine(colors, matrix, size_wh, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return warped, cv2.warpAffine(alpha, matrix, size_wh, flags=cv2.INTER_LINEAR)  # type: ignore[return-value]


def _street() -> list[Bytes]:
    return read_rgb("bikes.mp4")[138:186]  # one take, without people


def _meadow() -> list[Bytes]:
    """The part of the cartoon without its figure, by a camera that pans."""
    frames = read_rgb("bigbuckbunny.mp4")[:NUM_FRAMES]
    return [frame[280 - at : 640 - at, 640 - at // 2 : 1280 - at // 2] for at, frame in enumerate(frames)]


def _cartoon() -> list[Bytes]:
    return read_rgb("bigbuckbunny.mp4")[40 : 40 + NUM_FRAMES]


def _sway(at: int, amplitude: float) -> float:
    return amplitude * sin(2 * pi * at / NUM_FRAMES)


SCENES = (
    Scene("over a street", _street, lambda at: (Placement(0.5 + _sway(at, 0.05), 1, 1, frame=at),)),
    Scene("over a meadow", _meadow, lambda at: (Placement(0.45 + _sway(at, 0.05), 1, 1, frame=at),)),
    Scene("turned", _street, lambda at: (Placement(0.5, 1.08, 1, 15 + _sway(at, 10), frame=at),)),
    Scene("mirrored", _meadow, lambda at: (Placement(0.55, 1, 0.9, 0, is_mirrored=True, frame=at),)),
    Scene("small", _street, lambda at: (Placement(0.55 + _sway(at, 0.1), 1, 0.4, frame=at),)),
    Scene(
        "two people",
        _meadow,
        lambda at: (Placement(0.3, 1, 0.6, frame=at + 20), Placement(0.75, 1, 0.8, is_mirrored=True, frame=at)),
    ),
    Scene("at the border", _street, lambda at: (Placement(0.95 + _sway(at, 0.05), 1, 1, frame=at),)),
    Scene("walking by", _meadow, lambda at: (Placement(-0.2 + 1.4 * at / NUM_FRAMES, 1, 0.8, frame=at),)),
    Scene("beside a cartoon figure", _cartoon, lambda at: (Placement(0.8 + _sway(at, 0.05), 1, 0.8, frame=at),)),
    Scene("upright", _street, lambda at: (Placement(0.5 + _sway(at, 0.1), 1, 0.55, frame=at),), size_wh=(720, 1280)),
)
NOBODY = (Scene("nobody, a street", _street, lambda at: ()), Scene("nobody, a meadow", _meadow, lambda at: ()))
