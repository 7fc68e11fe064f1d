"""What masks are worth with each treatment and what it costs, on the CPU, by composites whose alpha is known exactly.

    python tests/bench/matte.py [CLIP]

The figures are those of Lin and others, "Robust High-Resolution Video Matting with Temporal Guidance", 2022, for masks
as they are drawn, at half the picture's sides: the mean absolute difference from the true alpha (MAD, x1000), the mean
squared one (MSE, x1000), the error of changes from frame to frame (dtSSD, x100), and MAD in a band along the outline.
Flicker is the mean of small changes from frame to frame of CLIP, against no treatment; the speed left is by the cores'
time on CLIP, network and drawing of 720p included, decoder and encoder not. `composites.py` says how the person was
cut. Writes out/matte.png, too: a row for each scene, with the picture, the truth, and each treatment in the table's
order.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import av
import cv2
import numpy as np
from composites import NOBODY, NUM_FRAMES, SCENES, Bytes, Real, Scene

from segtriton_protocol import UPRIGHT, MatteSpec, OutputSpec
from segtriton_protocol.look import effect_grid
from segtriton_server.frames import Picture
from segtriton_server.media.libav_decoder import plane_views
from segtriton_server.vision.compositor import create_compositor
from segtriton_server.vision.effects import effect_of
from segtriton_server.vision.layers import draw_subject
from segtriton_server.vision.matte import Matte
from segtriton_server.vision.mirroring import add_mirrored
from segtriton_server.vision.networks import create_segmenter
from segtriton_server.vision.segmenter import Segmenter

ROOT = Path(__file__).parents[2]
PERSON = frozenset({1})
NONE = MatteSpec.untreated()
TREATMENTS = {
    "none": NONE,
    "--smooth 0.7": replace(NONE, smoothing=0.7),
    "--refine-edges 1": replace(NONE, edges=1.0),
    "--mirror": replace(NONE, mirror=True),
    "--smooth 0.7 --refine-edges 1": replace(NONE, smoothing=0.7, edges=1.0),
    "--smooth 0.7 --mirror": replace(NONE, smoothing=0.7, mirror=True),
    "all three: the default": MatteSpec(),
    "--feather 0.5": replace(NONE, feather=0.5),
    "--feather -0.5": replace(NONE, feather=-0.5),
    "--mask-every 3": replace(NONE, mask_every=3),
}
NETWORKS = {"selfie": TREATMENTS, "selfie_square": {"none": NONE, "all three: the default": MatteSpec()}}
SIZE_WH = 1280, 720
SMALL_CHANGE = 64
ROUNDS = 3
BAND = np.ones((21, 21), np.uint8)
SHOWN_FRAME = 34
TILE_WH = 192, 108


class Errors(NamedTuple):
    """The means of a scene's frames, or of several scenes."""

    mad: float
    mse: float
    dtssd: float
    edges: float


class Masker:
    """What a server does with a session's pictures between the decoder and the drawing."""

    def __init__(self, segmenter: Segmenter, spec: MatteSpec, size_hw: tuple[int, int]) -> None:
        """Start a session for pictures of `size_hw`."""
        self._segmenter = segmenter
        self._spec = spec
        self._matte = Matte(spec, size_hw)

    def mask(self, picture: Picture) -> Bytes:
        """The mask to draw, [h, w]."""
        small = self._segmenter.preprocess(picture)
        if not self._matte.wants_mask(small):
            return self._matte.refine(picture, None)
        masks = self._segmenter.segment([small], [PERSON])
        add_mirrored(self._segmenter, [0] if self._spec.mirror else [], [small], [PERSON], [UPRIGHT], masks)
        return self._matte.refine(picture, masks[0])


def drawn(mask: Bytes, size_hw: tuple[int, int]) -> Real:
    """The alpha that effects are drawn with, at half of `size_hw`, 0 to 1."""
    grid = np.empty(effect_grid(size_hw)[0], np.uint8)
    draw_subject(mask, grid)
    return cv2.resize(grid, (size_hw[1] // 2, size_hw[0] // 2), interpolation=cv2.INTER_LINEAR).astype(np.float32) / 255


def judged(alphas: list[Real], truths: list[Real]) -> Errors:
    """The errors of one scene."""
    errors = [alpha - truth for alpha, truth in zip(alphas, truths, strict=True)]
    bands = [cv2.dilate(truth, BAND) > cv2.erode(truth, BAND) + 0.5 for truth in truths]
    along = [np.abs(error[band]).mean() for error, band in zip(errors, bands, strict=True) if band.any()]
    return Errors(
        1e3 * float(np.mean([np.abs(error).mean() for error in errors])),
        1e3 * float(np.mean([np.square(error).mean() for error in errors])),
        1e2 * float(np.mean([np.sqrt(np.square(later - earlier).mean()) for earlier, later in pairwise(errors)])),
        1e3 * float(np.mean(along)) if along else 0.0,
    )


def measure(scene: Scene, segmenter: Segmenter, treatments: dict[str, MatteSpec]) -> tuple[list[Errors], Bytes]:
    """The errors of each treatment over a scene, and a row of pictures, the first as it came."""
    size_hw = scene.size_wh[::-1]
    maskers = [Masker(segmenter, spec, size_hw) for spec in treatments.values()]
    alphas: list[list[Real]] = [[] for _ in maskers]
    truths: list[Real] = []
    row: list[Bytes] = []
    for number, (picture, alpha) in enumerate(scene.frames()):
        truths.append(cv2.resize(alpha, (size_hw[1] // 2, size_hw[0] // 2), interpolation=cv2.INTER_AREA))  # type: ignore[arg-type]
        for found, masker in zip(alphas, maskers, strict=True):
            found.append(drawn(masker.mask(picture), size_hw))
        if number == SHOWN_FRAME:
            row = [
                on_green(picture, shown)
                for shown in (np.ones((1, 1), np.float32), truths[-1], *(a[-1] for a in alphas))
            ]
    return [judged(found, truths) for found in alphas], np.hstack(row)


def on_green(picture: Picture, alpha: Real) -> Bytes:
    """A tile of the picture on green, BGR."""
    luma, *chroma = picture.planes
    stacked = np.vstack([luma, *(plane.reshape(-1, luma.shape[1]) for plane in chroma)])
    bgr = cv2.resize(cv2.cvtColor(stacked, cv2.COLOR_YUV2BGR_I420), TILE_WH, interpolation=cv2.INTER_AREA)
    opacity = cv2.resize(alpha, TILE_WH, interpolation=cv2.INTER_LINEAR)[..., None]
    return np.rint(bgr * opacity + (1 - opacity) * (0, 255, 0)).astype(np.uint8)


def read_pictures(path: Path) -> list[Picture]:
    """The clip's pictures at 720p."""
    with av.open(str(path)) as container:
        frames = [frame.reformat(*SIZE_WH, "yuv420p") for frame in container.decode(video=0)]
    return [Picture(plane_views(frame)) for frame in frames]


def run(pictures: list[Picture], segmenter: Segmenter, spec: MatteSpec) -> tuple[float, float]:
    """The flicker of a clip's masks, and the seconds of a core that it took to segment and draw."""
    size_hw = SIZE_WH[::-1]
    masker = Masker(segmenter, spec, size_hw)
    compositor = create_compositor(effect_of(OutputSpec()), size_hw)
    out = Picture(tuple(np.empty_like(plane) for plane in pictures[0].planes))
    masks: list[Bytes] = []
    started = time.process_time()
    for picture in pictures:
        masks.append(masker.mask(picture))
        compositor.compose(picture, masks[-1], out)
    return flicker(masks), time.process_time() - started


def flicker(masks: list[Bytes]) -> float:
    """The mean of small changes: large ones are movement."""
    small = [cv2.resize(mask, (256, 144)).astype(np.float32) for mask in masks]
    changes = [np.abs(later - earlier) for earlier, later in pairwise(small)]
    return float(np.mean([change[change < SMALL_CHANGE].mean() for change in changes]))


def report(name: str, clip: Path) -> Bytes:
    """Print the tables of one network; return its sheet."""
    segmenter, treatments = create_segmenter(name, ROOT / ".assets" / "networks", 1, 1), NETWORKS[name]
    pictures = read_pictures(clip)
    run(pictures, segmenter, NONE)  # the first run is slower than all others
    rounds = [[run(pictures, segmenter, spec) for spec in treatments.values()] for _ in range(ROUNDS)]
    costs = np.median(np.array(rounds)[:, :, 1], axis=0)
    flickers = np.array(rounds[0])[:, 0]
    of_scenes, rows = zip(*(measure(scene, segmenter, treatments) for scene in (*SCENES, *NOBODY)), strict=True)
    means = np.mean(of_scenes[: len(SCENES)], axis=0)

    print(f"\n{name}: the mean of {len(SCENES)} scenes of {NUM_FRAMES} frames")
    print(f"{'treatment':32s}{'MAD':>8s}{'MSE':>8s}{'dtSSD':>8s}{'edges':>8s}{'flicker':>9s}{'speed left':>12s}")
    for at, treatment in enumerate(treatments):
        mad, mse, dtssd, edges = means[at]
        of_none = flickers[at] / flickers[0], costs[0] / costs[at]
        print(f"{treatment:32s}{mad:8.1f}{mse:8.1f}{dtssd:8.2f}{edges:8.1f}{of_none[0]:9.2f}{of_none[1]:12.2f}")
    default = list(treatments).index("all three: the default")
    print(f"\n{'scene: none, then the default':32s}{'MAD':>16s}{'dtSSD':>16s}{'edges':>16s}")
    for scene, errors in zip((*SCENES, *NOBODY), of_scenes, strict=True):
        plain, treated = errors[0], errors[default]
        pairs = ((getattr(plain, field), getattr(treated, field)) for field in ("mad", "dtssd", "edges"))
        print(f"{scene.name:32s}" + "".join(f"{before:9.1f}{after:7.1f}" for before, after in pairs))
    return np.vstack(rows)


def main() -> None:
    """Print the tables, write the sheets."""
    clip = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / ".assets" / "clips" / "carphone_pristine.mp4"
    (ROOT / "out").mkdir(exist_ok=True)
    for name in NETWORKS:
        suffix = "" if name == "selfie" else f"_{name}"
        cv2.imwrite(str(ROOT / "out" / f"matte{suffix}.png"), report(name, clip))


if __name__ == "__main__":
    main()
