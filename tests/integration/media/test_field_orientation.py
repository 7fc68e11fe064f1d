"""Pictures as people see them: all eight orientations, and samples that are not square.

The judge is plain PyAV and NumPy: a turned clip is made of an upright one by turning its pixels, and what comes back is
turned by the same two operations before it is compared.
"""

import json
import struct
import subprocess
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from photographs import write_photograph
from raw_client import CLIPS
from segclient_process import PROGRAM
from segclient_runs import succeed
from segments import UNCHANGED, Segment

from segtriton_client.job import Composed
from segtriton_protocol import OutputSpec
from segtriton_server.launch import TritonProcess

pytestmark = pytest.mark.whole

FRAMES = 4
MASK = OutputSpec(effect="mask", preset="ultrafast", crf=4)
BARE_MASK = OutputSpec(effect="mask", encoder="mask")
Pictures = list[np.ndarray]


@dataclass(frozen=True)
class Turn:
    """Shown = stored, turned by quarters counter-clockwise, then mirrored left to right; `exif` is its number."""

    quarters: int
    mirrors: bool
    exif: int

    def to_shown(self, stored: np.ndarray) -> np.ndarray:
        turned = np.rot90(stored, self.quarters)
        return turned[:, ::-1] if self.mirrors else turned

    def to_stored(self, shown: np.ndarray) -> np.ndarray:
        return np.rot90(shown[:, ::-1] if self.mirrors else shown, -self.quarters)


UPRIGHT = Turn(0, False, 1)
TURNS = [
    UPRIGHT,
    Turn(3, False, 6),
    Turn(2, False, 3),
    Turn(1, False, 8),
    Turn(0, True, 2),
    Turn(3, True, 5),
    Turn(2, True, 4),
    Turn(1, True, 7),
]
turns = pytest.mark.parametrize("turn", TURNS, ids=lambda turn: f"{90 * turn.quarters}{'m' if turn.mirrors else ''}")


def decode(path: Path) -> Pictures:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def matrix_of(path: Path) -> tuple[int, ...]:
    """The display matrix that a player finds, () for none."""
    with av.open(str(path)) as container:
        side_data = next(container.decode(video=0)).side_data  # EXIF is listed since the client was imported
        return struct.unpack("=9i", bytes(side_data["DISPLAYMATRIX"])) if "DISPLAYMATRIX" in side_data else ()


def person() -> Pictures:
    """Pictures of somebody, 352x288, as they are seen."""
    with av.open(str(CLIPS / "carphone_pristine.mp4")) as container:
        frames = [frame for frame, _ in zip(container.decode(video=0), range(FRAMES), strict=False)]
        return [frame.to_ndarray(format="rgb24", width=352, height=288) for frame in frames]


def write(path: Path, shown: Pictures, turn: Turn = UPRIGHT, sample_aspect: Fraction | None = None) -> Path:
    """Write pictures that a player shows as they are given; those of a turned clip are stored turned."""
    stored = [np.ascontiguousarray(turn.to_stored(picture)) for picture in shown]
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "4", "bf": "2"})
        stream.height, stream.width = stored[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        if sample_aspect is not None:
            stream.codec_context.sample_aspect_ratio = sample_aspect
        if turn != UPRIGHT:
            stream.set_display_rotation(90 * turn.quarters, hflip=turn.mirrors)
        for pixels in stored:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        container.mux(stream.encode(None))
    return path


def check_same_person(masks: Pictures, expected: Pictures) -> None:
    """Masks of one size agree: intersection over union of each pair."""
    assert len(masks) == len(expected) > 0
    for mask, other in zip(masks, expected, strict=True):
        inside, other_inside = mask[..., 0] > 127, other[..., 0] > 127
        assert inside.shape == other_inside.shape
        assert 0.1 < other_inside.mean() < 0.9
        overlap = (inside & other_inside).sum() / (inside | other_inside).sum()
        assert overlap > 0.97, f"IoU {overlap:.3f}"


@pytest.fixture(scope="module")
def upright(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("upright") / "upright.mp4", person())


# ------------------------------------------------------------------ masks


@turns
def test_a_turned_clip_has_the_masks_of_the_upright_one(
    segment: Segment, upright: Path, tmp_path: Path, turn: Turn
) -> None:
    given, made, expected = (tmp_path / name for name in ("given.mov", "made.mov", "expected.mov"))
    write(given, person(), turn)
    segment(given, made, MASK)
    segment(upright, expected, MASK)

    check_same_person([turn.to_shown(mask) for mask in decode(made)], decode(expected))
    assert matrix_of(made) == matrix_of(given)


@turns
def test_bare_masks_lie_as_the_pictures_do(stream: Segment, upright: Path, tmp_path: Path, turn: Turn) -> None:
    given, made, expected = (tmp_path / name for name in ("given.mov", "made.mkv", "expected.mkv"))
    write(given, person(), turn)
    stream(given, made, BARE_MASK)
    stream(upright, expected, BARE_MASK)

    check_same_person([turn.to_shown(mask) for mask in decode(made)], decode(expected))
    found, wanted = (np.sign(matrix_of(path)[:5]).tolist() for path in (made, given))
    assert found == wanted


@turns
def test_mask_lines_say_how_they_are_turned(server: TritonProcess, upright: Path, tmp_path: Path, turn: Turn) -> None:
    lines = {}
    for name, given in {"made": write(tmp_path / "given.mov", person(), turn), "expected": upright}.items():
        made = tmp_path / f"{name}.jsonl"
        succeed(server, "-sv", given, "-o", made)
        lines[name] = [json.loads(text) for text in made.read_text().splitlines()]

    check_same_person([seen(line) for line in lines["made"]], [seen(line) for line in lines["expected"]])
    assert all((line["rotation"], line["mirrored"]) == (0, False) for line in lines["expected"])


def seen(line: dict[str, object]) -> np.ndarray:
    """A line's mask as its own words say that it is seen, uint8 [h, w, 1]."""
    height, width = line["size"]
    cells = np.repeat(np.arange(len(line["counts"])) % 2 * 255, line["counts"]).astype(np.uint8)
    mask = cells.reshape((height, width), order="F")
    mirrored = mask[:, ::-1] if line["mirrored"] else mask
    return np.rot90(mirrored, -line["rotation"] // 90)[..., None]


@turns
def test_a_photograph_is_turned_as_its_exif_says(photograph: Segment, tmp_path: Path, turn: Turn) -> None:
    shown = person()[0]
    given = write_photo(tmp_path / "given.jpg", shown, turn)
    plain = write_photo(tmp_path / "plain.jpg", shown, UPRIGHT)
    photograph(given, tmp_path / "made.png", MASK)
    photograph(plain, tmp_path / "expected.png", MASK)

    expected = decode(tmp_path / "expected.png")
    check_same_person(decode(tmp_path / "made.png"), expected)
    photograph(given, tmp_path / "made.jpg", MASK)
    check_same_person([turn.to_shown(mask) for mask in decode(tmp_path / "made.jpg")], expected)
    assert matrix_of(tmp_path / "made.jpg") == matrix_of(given)


def write_photo(path: Path, shown: np.ndarray, turn: Turn) -> Path:
    """A JPEG whose EXIF says how it is turned."""
    return write_photograph(path, np.ascontiguousarray(turn.to_stored(shown)), turn.exif)


# ------------------------------------------------------------------ the matrix


@pytest.mark.parametrize("ending", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("turn", [TURNS[1], TURNS[5]], ids=["turned", "mirrored"])
def test_a_clip_of_few_frames_stays_turned(
    segment: Segment, tmp_path: Path, turn: Turn, count: int, ending: str
) -> None:
    given, made = tmp_path / f"given.{ending}", tmp_path / f"made.{ending}"
    write(given, person()[:count], turn)
    segment(given, made)

    assert len(decode(made)) == count
    assert matrix_of(made) == matrix_of(given) != ()


# ------------------------------------------------------------------ what the client draws


RED, BLUE = (200, 20, 20), (20, 20, 200)


def write_halves(path: Path, turn: Turn = UPRIGHT, aspect: Fraction = Fraction(1)) -> Path:
    """A clip that shows a square, red above blue, of samples that are `aspect` as wide as high where they are seen."""
    shown = np.full((160, round(160 / aspect), 3), RED, np.uint8)
    shown[80:] = BLUE
    return write(path, [shown], turn, 1 / aspect if turn.quarters % 2 else aspect)


@turns
def test_a_background_stands_upright_behind_a_turned_clip(stream: Segment, tmp_path: Path, turn: Turn) -> None:
    given, made = write(tmp_path / "given.mov", person(), turn), tmp_path / "made.mov"
    # Its own matrix counts, too: it is another one than the clip's.
    background = write_halves(tmp_path / "background.mov", TURNS[(TURNS.index(turn) + 3) % 8])
    stream(given, made, replace(UNCHANGED, crf=4), composed=(Composed("image", made, background),))

    for picture in map(turn.to_shown, decode(made)):
        for corner, color in {(4, 4): RED, (4, -5): RED}.items():
            assert np.abs(picture[corner].astype(int) - color).max() < 40, corner


@turns
def test_images_are_written_as_they_are_seen(stream: Segment, tmp_path: Path, turn: Turn) -> None:
    shown = person()
    stream(write(tmp_path / "given.mov", shown, turn), tmp_path / "frame_%02d.png")

    written = [decode(path)[0] for path in sorted(tmp_path.glob("frame_*.png"))]
    assert len(written) == len(shown)
    for picture, expected in zip(written, shown, strict=True):
        assert picture.shape == expected.shape
        assert np.abs(picture.astype(int) - expected).mean() < 4


@turns
def test_a_sheet_shows_what_people_see(tmp_path: Path, turn: Turn) -> None:
    square = write_halves(tmp_path / "square.mov", turn, Fraction(2))
    sheet = tmp_path / "sheet.png"
    subprocess.run([*PROGRAM, "sheet", *3 * [square], "-o", sheet], check=True, timeout=50)

    (picture,) = decode(sheet)
    assert picture.shape[:2] == (3 * (320 + 12) + 12, 5 * (320 + 12) + 12)
    assert np.abs(picture[20, 160].astype(int) - RED).max() < 20
    assert np.abs(picture[320, 160].astype(int) - BLUE).max() < 20


# ------------------------------------------------------------------ sample aspect


def test_an_anamorphic_clip_has_the_masks_of_the_square_one(segment: Segment, tmp_path: Path) -> None:
    square = [scale(picture, 1024, 576) for picture in person()]
    narrow = [scale(picture, 720, 576) for picture in square]
    segment(write(tmp_path / "square.mp4", square), tmp_path / "expected.mp4", MASK)
    segment(write(tmp_path / "narrow.mp4", narrow, sample_aspect=Fraction(64, 45)), tmp_path / "made.mp4", MASK)

    masks = [scale(mask, 1024, 576) for mask in decode(tmp_path / "made.mp4")]
    check_same_person(masks, decode(tmp_path / "expected.mp4"))


def scale(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    return av.VideoFrame.from_ndarray(picture, "rgb24").reformat(width, height).to_ndarray(format="rgb24")
