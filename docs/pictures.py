"""Makes the pictures of these pages anew, from a sample clip and a real server: `make doc-pictures`."""

from __future__ import annotations

import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
from cv2.typing import MatLike

DOCS = Path(__file__).parent
CLIP = DOCS.parent / ".assets" / "clips" / "carphone_pristine.mp4"
BACKGROUND = "background.png"
UNTREATED = ["--smooth", "0", "--refine-edges", "0", "--no-mirror"]

# What segclient is asked for each tile.
EFFECTS = [
    ["--effect", "mask"],
    ["--effect", "blur", "--strength", "0.2"],
    ["--effect", "blur"],
    ["--effect", "blur", "--strength", "1"],
    ["--effect", "overlay"],
    ["--effect", "color"],
    ["--effect", "image", "--background", BACKGROUND],
    ["--effect", "cutout"],
]
TREATMENTS: list[list[str]] = [UNTREATED, [], ["--feather", "0.3"], ["--feather", "-0.3"]]
EDGES = [["--effect", effect, *treatment] for effect in ("color", "blur") for treatment in TREATMENTS]

COLUMNS = 4
EFFECT_FRAME, EDGE_FRAME = 100, 12
HEAD = np.s_[4:106, 40:152]  # rows and columns of the clip where edges are hard
TILE_WIDTH = 320
GAP = 8
CHECKERS = 8
JPEG_QUALITY = 75  # of 100; each picture stays under 150 kB


def main() -> None:
    """Write all of them beside this file."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        cv2.imwrite(str(folder / BACKGROUND), sunset(720, 1280))
        effects = [drawn(options, EFFECT_FRAME, folder) for options in EFFECTS]
        write("effects.jpg", laid_out(effects))
        edges = [drawn(options, EDGE_FRAME, folder)[HEAD] for options in EDGES]
        write("edges.jpg", laid_out(edges))
        write("contact_sheet.jpg", sheet([["--effect", "mask"], ["--effect", "blur"]], folder))
        write("masks.jpg", sheet([["--effect", "color", *UNTREATED], ["--effect", "color"]], folder))


def drawn(options: list[str], frame: int, folder: Path) -> MatLike:
    """One frame of what segclient makes of the clip, [h, w, 3]; what is transparent on a chessboard."""
    pattern = folder / "frame_%04d.png"
    segclient("-sv", str(CLIP), *options, "--crf", "10", "-o", str(pattern), folder=folder)
    picture = cv2.imread(str(pattern) % frame, cv2.IMREAD_UNCHANGED)
    return picture if picture.shape[2] == 3 else on_chessboard(picture)


def sheet(outputs: list[list[str]], folder: Path) -> MatLike:
    """The contact sheet of the clip and two outputs."""
    results = [str(folder / f"{at}.mp4") for at in range(len(outputs))]
    for options, result in zip(outputs, results, strict=True):
        segclient("-sv", str(CLIP), *options, "--crf", "10", "-o", result, folder=folder)
    segclient("sheet", str(CLIP), *results, "-o", "sheet.png", folder=folder)
    return cv2.imread(str(folder / "sheet.png"))


def segclient(*words: str, folder: Path) -> None:
    """Run it in the folder, against the server that SEGCLIENT_ENDPOINT names."""
    subprocess.run(["segclient", *words], cwd=folder, check=True)


def sunset(height: int, width: int) -> MatLike:
    """A sky [h, w, 3] that is blue above and orange below."""
    down = np.linspace(0, 1, height)[:, None, None]
    sky = (1 - down) * (150, 90, 60) + down * (110, 180, 250)
    return np.broadcast_to(sky, (height, width, 3)).astype(np.uint8)


def on_chessboard(picture: MatLike) -> MatLike:
    """A picture with alpha, [h, w, 4], where what is transparent shows squares."""
    rows, columns = np.indices(picture.shape[:2]) // CHECKERS
    board = np.where((rows + columns) % 2, 205, 255)[..., None]
    alpha = picture[..., 3:] / 255
    return np.rint(picture[..., :3] * alpha + board * (1 - alpha)).astype(np.uint8)


def laid_out(tiles: list[MatLike]) -> MatLike:
    """The tiles in rows, on white."""
    height, width = tiles[0].shape[:2]
    size = TILE_WIDTH, round(height * TILE_WIDTH / width)
    framed = [
        cv2.copyMakeBorder(
            cv2.resize(tile, size, interpolation=cv2.INTER_CUBIC), 0, GAP, 0, GAP, cv2.BORDER_CONSTANT, value=(255,) * 3
        )
        for tile in tiles
    ]
    rows = [np.hstack(framed[first : first + COLUMNS]) for first in range(0, len(framed), COLUMNS)]
    return np.vstack(rows)[:-GAP, :-GAP]


def write(name: str, picture: MatLike) -> None:
    """Write a JPEG of these pages."""
    cv2.imwrite(str(DOCS / name), picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])


if __name__ == "__main__":
    main()
