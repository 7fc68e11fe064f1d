"""What is left of the old background at soft edges before a new one, without and with `--despill`, and the price.

    python tests/bench/edge_colors.py

Heads with hair are drawn strand by strand, so that colour and alpha of each pixel are known, and laid over frames of
the clips. Masks are the true alpha at a network's size, exact or blurred as a network's. What the server's compositor
makes of it before two new backgrounds is compared with the truth where the alpha is mixed: the mean error, of 255, and
how much of the old background shows, of 1. Both have an error of the mask in them that no colour can mend.

Writes out/edge_colors.png, too: dark and fair hair before green, each without and with it.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import NamedTuple

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from segtriton_server.frames import ColorMatrix, ColorRange, Picture
from segtriton_server.media.color_tags import COLORSPACES
from segtriton_server.media.libav_decoder import plane_views
from segtriton_server.vision.compositor import create_compositor
from segtriton_server.vision.effects import EffectSpec

ROOT = Path(__file__).parents[2]
CLIPS = ROOT / ".assets" / "clips"
SIZE_WH = 1280, 720
MASK_WH = 256, 144
HAIRS = {"dark": (45, 32, 25), "fair": (200, 170, 110)}
SKIN = 205, 160, 130
SHOULDERS = 590  # rows from here on have no hair
WITHOUT, WITH = EffectSpec("image"), EffectSpec("image", despill=True)
PRICED = {
    "blur": EffectSpec("blur"),
    "color --no-despill": EffectSpec("color"),
    "color": EffectSpec("color", despill=True),
    "image --no-despill": WITHOUT,
    "image": WITH,
}
ROUNDS, FRAMES = 7, 20
CROP = np.s_[190:600, 420:860]

Real = NDArray[np.float64]
Mask = NDArray[np.uint8]


class Head(NamedTuple):
    """Colours [h, w, 3], known beyond the edge too, and alpha [h, w, 1], 0 to 1."""

    colors: Real
    alpha: Real

    def over(self, background: Real) -> Real:
        """The head before a background."""
        return self.alpha * self.colors + (1 - self.alpha) * background

    def edge(self) -> NDArray[np.bool_]:
        """Where both show, and two pixels around."""
        mixed = ((self.alpha[..., 0] > 0.02) & (self.alpha[..., 0] < 0.98)).astype(np.uint8)
        band = cv2.dilate(mixed, np.ones((5, 5))) > 0
        band[SHOULDERS:] = False
        return band


def read_frame(name: str, number: int) -> Real:
    """A clip's frame as RGB at 720p."""
    with av.open(str(CLIPS / f"{name}.mp4")) as container:
        frame = next(frame for at, frame in enumerate(container.decode(video=0)) if at == number)
    return frame.reformat(*SIZE_WH, "rgb24", interpolation="AREA").to_ndarray().astype(np.float64)


def draw_head(hair: tuple[int, int, int]) -> Head:
    """A head with hair of about one colour, drawn at twice the size."""
    random = np.random.default_rng(3)
    width, height = 2 * SIZE_WH[0], 2 * SIZE_WH[1]
    alpha, colors = np.zeros((height, width), np.uint8), np.full((height, width, 3), hair, np.uint8)
    middle = np.array((width // 2, 800))
    cv2.ellipse(alpha, middle.tolist(), (300, 380), 0, 0, 360, 255, -1)
    cv2.ellipse(alpha, (width // 2, 1640), (660, 560), 0, 0, 360, 255, -1)
    for _ in range(2600):
        angle = random.uniform(0.85, 2.15) * np.pi
        points = [middle + random.uniform(200, 330) * np.array((0.9 * np.cos(angle), 1.15 * np.sin(angle)))]
        angle += random.normal(0, 0.35)
        for _ in range(14):
            angle += random.normal(0, 0.16)
            points.append(points[-1] + random.uniform(6, 13) * np.array((np.cos(angle), np.sin(angle))))
        strand = [np.array(points, np.int32)]
        color = np.clip(np.array(hair) + random.normal(0, 18) + random.normal(0, 5, 3), 0, 255)
        cv2.polylines(alpha, strand, False, 255, 2, cv2.LINE_AA)
        cv2.polylines(colors, strand, False, color.tolist(), 4, cv2.LINE_AA)
    cv2.ellipse(colors, (width // 2, 880), (210, 280), 0, 0, 360, SKIN, -1)
    small, opacity = (cv2.resize(each, SIZE_WH, interpolation=cv2.INTER_AREA) for each in (colors, alpha))
    return Head(small.astype(np.float64), opacity[..., None] / 255)


def masks_of(head: Head) -> Iterator[tuple[str, Mask]]:
    """Masks of a network's size: exact, and blurred."""
    small = cv2.resize(head.alpha, MASK_WH, interpolation=cv2.INTER_AREA) * 255
    yield "exact", np.rint(small).astype(np.uint8)
    yield "blurred", np.rint(cv2.GaussianBlur(small, (0, 0), 1.5)).astype(np.uint8)


def to_picture(rgb: Real) -> Picture:
    """A YUV picture, 4:2:0."""
    frame = av.VideoFrame.from_ndarray(np.rint(rgb).astype(np.uint8), "rgb24")
    yuv = frame.reformat(format="yuv420p", dst_colorspace=COLORSPACES[ColorMatrix.BT709])
    return Picture(tuple(plane.copy() for plane in plane_views(yuv)), ColorMatrix.BT709, ColorRange.LIMITED)


def to_rgb(picture: Picture) -> Real:
    """RGB [h, w, 3] of a YUV picture, 4:2:0."""
    joined = np.concatenate([plane.ravel() for plane in picture.planes]).reshape(-1, SIZE_WH[0])
    frame = av.VideoFrame.from_ndarray(joined, "yuv420p")
    return frame.reformat(format="rgb24", src_colorspace=COLORSPACES[ColorMatrix.BT709]).to_ndarray().astype(np.float64)


def draw(spec: EffectSpec, source: Picture, mask: Mask, behind: Picture) -> Real:
    """What the server draws, RGB [h, w, 3]."""
    out = Picture(tuple(np.empty_like(plane) for plane in source.planes), source.matrix, source.color_range)
    create_compositor(spec, source.size_hw).compose(source, mask, out, behind)
    return to_rgb(out)


def measure(head: Head) -> tuple[dict[tuple[str, EffectSpec], list[tuple[float, float]]], list[Real]]:
    """Error and part of the old background by mask and effect, for two old and two new ones each; and crops."""
    news = [np.full((*SIZE_WH[::-1], 3), (0.0, 177.0, 64.0)), read_frame("bikes", 90)]
    found: dict[tuple[str, EffectSpec], list[tuple[float, float]]] = {}
    crops: list[Real] = []
    edge = head.edge()
    for old in (read_frame("bigbuckbunny", 60), read_frame("bikes", 30)):
        source = to_picture(head.over(old))
        for (kind, mask), new in ((each, new) for each in masks_of(head) for new in news):
            for spec in (WITHOUT, WITH):
                drawn = draw(spec, source, mask, to_picture(new))
                error, fringe = (drawn - head.over(new))[edge], (old - new)[edge]
                part = float((error * fringe).sum() / (fringe * fringe).sum())
                found.setdefault((kind, spec), []).append((float(np.abs(error).mean()), part))
                if kind == "blurred" and new is news[0] and len(crops) < 2:
                    crops.append(drawn[CROP])
    return found, crops


def price(head: Head) -> dict[str, float]:
    """Milliseconds of a core for a frame, the median of rounds that take turns."""
    source, behind = to_picture(head.over(read_frame("bikes", 30))), to_picture(read_frame("bikes", 90))
    _, mask = next(masks_of(head))
    out = Picture(tuple(np.empty_like(plane) for plane in source.planes), source.matrix, source.color_range)
    compositors = {name: create_compositor(spec, source.size_hw) for name, spec in PRICED.items()}
    seconds: dict[str, list[float]] = {name: [] for name in PRICED}
    for _ in range(ROUNDS):
        for name, compositor in compositors.items():
            begun = time.process_time()
            for _ in range(FRAMES):
                compositor.compose(source, mask, out, behind)
            seconds[name].append(time.process_time() - begun)
    return {name: median(each) / FRAMES * 1e3 for name, each in seconds.items()}


def main() -> None:
    """Measure and print."""
    cv2.setNumThreads(1)
    sheets = []
    print(f"{'hair':6}{'mask':10}{'error without':>16}{'with':>8}{'old background without':>26}{'with':>8}")
    for hair, color in HAIRS.items():
        found, crops = measure(draw_head(color))
        for kind in ("exact", "blurred"):
            (error, part), (clean_error, clean_part) = (np.mean(found[kind, spec], axis=0) for spec in (WITHOUT, WITH))
            print(f"{hair:6}{kind:10}{error:16.1f}{clean_error:8.1f}{part:26.3f}{clean_part:8.3f}")
        sheets.append(np.hstack(crops))
    costs = price(draw_head(HAIRS["dark"]))
    print(f"\n{'effect, 720p':22}{'ms of a core':>14}{'against blur':>14}")
    for name, cost in costs.items():
        print(f"{name:22}{cost:14.2f}{cost / costs['blur']:14.2f}")
    (ROOT / "out").mkdir(exist_ok=True)
    cv2.imwrite(str(ROOT / "out" / "edge_colors.png"), np.rint(np.vstack(sheets)).astype(np.uint8)[..., ::-1])


if __name__ == "__main__":
    main()
