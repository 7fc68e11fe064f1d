"""What each treatment of masks is worth and what it costs, on the CPU.

    python tests/bench/matte.py [CLIP]

Writes out/matte.png, too: the masks of the same frames, a row for each treatment in the table's order.

For each treatment: how much the mask flickers (small changes from frame to frame of the clip, 1 without treatment),
how far its edge lies from the truth (mean error in a band along the outline of pictures of known truth, as
`edge_filters.py` makes them, from masks of the network's size), and what of the speed is left, by the
cores' time, network and drawing of 720p included.
"""

import sys
import time
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
from edge_filters import BAND, make_picture, resized

from segtriton_protocol import MatteSpec, OutputSpec
from segtriton_server.frames import Picture
from segtriton_server.media.libav_decoder import plane_views
from segtriton_server.vision.compositor import create_compositor
from segtriton_server.vision.effects import effect_of
from segtriton_server.vision.layers import draw_subject
from segtriton_server.vision.matte import Matte
from segtriton_server.vision.networks import create_segmenter

ROOT = Path(__file__).parents[2]
TREATMENTS = {
    "none": MatteSpec(),
    "--smooth 0.8": MatteSpec(smoothing=0.8),
    "--refine-edges 1": MatteSpec(edges=1.0),
    "--feather 0.5": MatteSpec(feather=0.5),
    "--feather -0.5": MatteSpec(feather=-0.5),
    "--mask-every 3": MatteSpec(mask_every=3),
    "--smooth 0.8 --refine-edges 1": MatteSpec(smoothing=0.8, edges=1.0),
}
SIZE_WH = 1280, 720
NUM_PICTURES = 4
SMALL_CHANGE = 64
ROUNDS = 3
COLUMNS = 5


def read_pictures(path: Path) -> list[Picture]:
    """The clip's pictures at 720p."""
    with av.open(str(path)) as container:
        frames = [frame.reformat(*SIZE_WH, "yuv420p") for frame in container.decode(video=0)]
    return [Picture(plane_views(frame)) for frame in frames]


def run(pictures: list[Picture], spec: MatteSpec) -> tuple[list[np.ndarray], float]:
    """Masks of all pictures, and the seconds of a core that it took to segment and draw."""
    segmenter = create_segmenter("selfie", ROOT / ".assets" / "networks", 1, 1)
    size_hw = SIZE_WH[::-1]
    matte = Matte(spec, size_hw)
    compositor = create_compositor(effect_of(OutputSpec()), size_hw)
    out = Picture(tuple(np.empty_like(plane) for plane in pictures[0].planes))
    masks: list[np.ndarray] = []
    started = time.process_time()
    for picture in pictures:
        small = segmenter.preprocess(picture)
        mask = segmenter.segment([small], [frozenset({1})])[0] if matte.wants_mask(small) else None
        masks.append(matte.refine(picture, mask))
        compositor.compose(picture, masks[-1], out)
    return masks, time.process_time() - started


def flicker(masks: list[np.ndarray]) -> float:
    """The mean of small changes: large ones are movement."""
    total = 0.0
    for earlier, later in pairwise(cv2.resize(mask, (256, 144)).astype(np.float32) for mask in masks):
        change = np.abs(later - earlier)
        total += float(change[change < SMALL_CHANGE].mean())
    return total / (len(masks) - 1)


def edge_error(spec: MatteSpec, frames: list[np.ndarray]) -> float:
    """The mean error of drawn edges, 0 to 1, of masks that lose what the network's size cannot hold."""
    errors = []
    for seed in range(NUM_PICTURES):
        grey, truth = make_picture(frames, seed)
        size_hw = (grey.shape[0], grey.shape[1])
        mask = np.rint(resized(resized(truth * 255, (64, 36)), (256, 144))).astype(np.uint8)
        chroma = np.full((size_hw[0] // 2, size_hw[1] // 2), 128, np.uint8)
        matte = Matte(spec, size_hw)
        refined = matte.refine(Picture((grey.astype(np.uint8), chroma, chroma)), mask)
        grid = np.empty((size_hw[0] // 8, size_hw[1] // 8), np.uint8)
        draw_subject(refined, grid)
        drawn = resized(grid.astype(np.float32), size_hw[::-1]) / 255
        band = cv2.dilate(truth, BAND) > cv2.erode(truth, BAND)
        errors.append(float(np.abs(drawn - truth)[band].mean()))
    return float(np.mean(errors))


def strip(masks: list[np.ndarray]) -> np.ndarray:
    """A few of the masks side by side."""
    step = len(masks) // COLUMNS
    return np.hstack([cv2.resize(mask, (320, 180)) for mask in masks[step // 2 :: step][:COLUMNS]])


def main() -> None:
    """Print the table, write the picture."""
    clip = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / ".assets" / "clips" / "carphone_pristine.mp4"
    pictures = read_pictures(clip)
    with av.open(str(ROOT / ".assets" / "clips" / "bigbuckbunny.mp4")) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    plain_flicker, plain_seconds = 0.0, 0.0
    strips: list[np.ndarray] = []
    run(pictures, MatteSpec())  # the first run is slower than all others
    print(f"{'treatment':32s} {'flicker':>8s} {'edge error':>11s} {'speed':>7s}")
    for name, spec in TREATMENTS.items():
        masks, _ = run(pictures, spec)
        strips.append(strip(masks))
        seconds = min(run(pictures, spec)[1] for _ in range(ROUNDS))
        if name == "none":
            plain_flicker, plain_seconds = flicker(masks), seconds
        print(
            f"{name:32s} {flicker(masks) / plain_flicker:8.2f} {edge_error(spec, frames):11.4f} "
            f"{plain_seconds / seconds:7.2f}"
        )
    (ROOT / "out").mkdir(exist_ok=True)
    cv2.imwrite(str(ROOT / "out" / "matte.png"), np.vstack(strips))


if __name__ == "__main__":
    main()
