"""What files of the field hold beside pictures and sound: it comes back, or a note names what does not."""

import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.stream import Disposition
from checker import check_same, read_content
from heif_files import make_heic, make_single_heic
from numbered_clips import FRAMES, RATE, Recipe, numbered_frame
from photographs import exif_of
from segclient_runs import UNREADABLE, run, succeed
from segments import UNCHANGED, Segment
from sei_messages import captions, with_dolby_vision, with_h264_captions, with_hdr10_plus, with_mpeg2_captions

from segtriton_client.job import Composed
from segtriton_server.launch import TritonProcess

pytestmark = pytest.mark.whole

SIZE = (192, 128)
COUNT = 5
FONT = b"\x00\x01\x00\x00 a font"
TICK = 1 / RATE

# ------------------------------------------------------------------ other tracks


def make_jpeg() -> bytes:
    encoder: Any = av.CodecContext.create("mjpeg", "w")
    encoder.width = encoder.height = 64
    encoder.pix_fmt, encoder.time_base = "yuvj420p", Fraction(1, 25)
    frame = av.VideoFrame(64, 64, "yuvj420p")
    frame.pts = 0
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])


COVER = make_jpeg()


@dataclass(frozen=True)
class Beside:
    """A short clip, and what lies beside its pictures."""

    cover: bool = False
    font: bool = False
    data: str = ""
    videos: int = 1
    video_metadata: dict[str, str] = field(default_factory=dict)
    disposition: Disposition = Disposition.default

    def write_as(self, path: Path) -> Path:
        """Make the clip; the path's ending says in which container."""
        with av.open(path, "w") as container:
            videos: list[Any] = [container.add_stream("libx264", rate=RATE) for _ in range(self.videos)]
            for stream in videos:
                stream.width, stream.height = SIZE
                stream.pix_fmt = "yuv420p"
            videos[0].metadata.update(self.video_metadata)
            videos[0].disposition = self.disposition
            if self.font:
                container.add_attachment("a.ttf", "application/x-truetype-font", FONT)
            self._write_cover(container, path.suffix)
            data = container.add_data_stream(self.data) if self.data else None
            for number in range(COUNT):
                for stream in videos:
                    container.mux(stream.encode(timed_frame(number)))
                if data is not None:
                    container.mux(timed_packet(data, b"sample %d" % number, number))
            for stream in videos:
                container.mux(stream.encode(None))
        return path

    def _write_cover(self, container: Any, ending: str) -> None:
        if self.cover and ending == ".mkv":
            container.add_attachment("front.jpg", "image/jpeg", COVER)
        elif self.cover:
            cover = container.add_mux_stream("mjpeg", width=64, height=64)
            cover.disposition = Disposition.attached_pic
            container.mux(timed_packet(cover, COVER, 0))


def timed_frame(number: int, pixel_format: str = "yuv420p") -> av.VideoFrame:
    frame = numbered_frame(number, SIZE, pixel_format)
    frame.pts, frame.time_base = number, TICK
    return frame


def timed_packet(stream: Any, payload: bytes, number: int) -> av.Packet:
    packet: av.Packet = av.Packet(payload)
    packet.pts = packet.dts = number
    packet.duration, packet.time_base, packet.stream = 1, TICK, stream
    packet.is_keyframe = True
    return packet


@contextmanager
def tracks_of(path: Path) -> Iterator[list[Any]]:
    """All tracks but the first."""
    with av.open(path) as container:
        yield list(container.streams)[1:]


def payloads_of(path: Path, index: int) -> list[tuple[Fraction, bytes]]:
    with av.open(path) as container:
        packets = [packet for packet in container.demux(container.streams[index]) if packet.size]
        return [((packet.pts or 0) * packet.time_base, bytes(packet)) for packet in packets]


@pytest.mark.parametrize("before", ["mp4", "mkv"])
@pytest.mark.parametrize("after", ["mp4", "mkv"])
def test_a_cover_picture_comes_back(segment: Segment, tmp_path: Path, before: str, after: str) -> None:
    given, made = Beside(cover=True).write_as(tmp_path / f"given.{before}"), tmp_path / f"made.{after}"
    report = segment(given, made)

    with tracks_of(made) as (cover,):
        assert cover.disposition == Disposition.attached_pic
        assert after != "mkv" or cover.metadata["filename"] == ("front.jpg" if before == "mkv" else "cover.jpg")
    assert [payload for _, payload in payloads_of(made, 1)] == [COVER]
    assert report.frames_out == COUNT
    assert report.notes == ()


@pytest.mark.parametrize("after", ["mov", "ts"])
def test_a_cover_picture_without_a_place_is_named(segment: Segment, tmp_path: Path, after: str) -> None:
    given, made = Beside(cover=True).write_as(tmp_path / "given.mp4"), tmp_path / f"made.{after}"
    report = segment(given, made)

    with tracks_of(made) as tracks:
        assert tracks == []
    assert any("mjpeg cover picture (track 1)" in note and ".mkv would keep it" in note for note in report.notes)


def test_a_font_comes_back(segment: Segment, tmp_path: Path) -> None:
    given, made = Beside(font=True).write_as(tmp_path / "given.mkv"), tmp_path / "made.mkv"
    report = segment(given, made)

    with tracks_of(made) as (font,):
        assert (font.name, font.mimetype, font.data) == ("a.ttf", "application/x-truetype-font", FONT)
    assert report.notes == ()


def test_a_font_without_a_place_is_named(segment: Segment, tmp_path: Path) -> None:
    given, made = Beside(font=True).write_as(tmp_path / "given.mkv"), tmp_path / "made.mp4"
    report = segment(given, made)

    assert any("a.ttf attachment (track 1)" in note and ".mkv would keep it" in note for note in report.notes)


@pytest.mark.parametrize(("codec", "ending"), [("klv", "ts"), ("timed_id3", "ts"), ("bin_data", "mp4")])
def test_data_comes_back(segment: Segment, tmp_path: Path, codec: str, ending: str) -> None:
    given, made = Beside(data=codec).write_as(tmp_path / f"given.{ending}"), tmp_path / f"made.{ending}"
    report = segment(given, made)

    with tracks_of(made) as (data,):
        assert (data.type, data.name) == ("data", codec)
    assert len(payloads_of(given, 1)) == COUNT
    assert payloads_of(made, 1) == payloads_of(given, 1)
    assert report.notes == ()


@pytest.mark.parametrize(("codec", "before", "after"), [("klv", "ts", "mp4"), ("bin_data", "mp4", "mkv")])
def test_data_without_a_place_is_named(segment: Segment, tmp_path: Path, codec: str, before: str, after: str) -> None:
    given, made = Beside(data=codec).write_as(tmp_path / f"given.{before}"), tmp_path / f"made.{after}"
    report = segment(given, made)

    with tracks_of(made) as tracks:
        assert tracks == []
    assert any(f"{codec} data (track 1)" in note and f".{before} would keep it" in note for note in report.notes)


def test_data_of_no_known_kind_is_named(segment: Segment, tmp_path: Path) -> None:
    given, made = Beside(data="scte_35").write_as(tmp_path / "given.ts"), tmp_path / "made.mp4"
    (note,) = segment(given, made).notes

    with tracks_of(made) as tracks:
        assert tracks == []
    assert note == "The input's bin_data data (track 1) cannot be copied; left out."


@pytest.mark.parametrize(("before", "after"), [("mov", "mov"), ("mov", "mp4"), ("mov", "mkv"), ("mkv", "mov")])
def test_a_timecode_comes_back(segment: Segment, tmp_path: Path, before: str, after: str) -> None:
    marked = Beside(video_metadata={"timecode": "01:02:03:04"})
    given, made = marked.write_as(tmp_path / f"given.{before}"), tmp_path / f"made.{after}"
    report = segment(given, made)

    with av.open(made) as container:
        tags = {key.lower(): value for key, value in container.streams.video[0].metadata.items()}
        assert tags["timecode"] == "01:02:03:04"
        assert len(container.streams.data) == (after != "mkv")
    assert report.notes == ()


def test_a_timecode_without_a_place_is_named(segment: Segment, tmp_path: Path) -> None:
    given = Beside(video_metadata={"timecode": "01:02:03:04"}).write_as(tmp_path / "given.mov")

    assert any("holds no timecode" in note for note in segment(given, tmp_path / "made.ts").notes)


def test_further_videos_are_counted_and_named(segment: Segment, tmp_path: Path) -> None:
    given = Beside(videos=3).write_as(tmp_path / "given.mp4")
    (note,) = segment(given, tmp_path / "made.mp4").notes

    assert "holds 3 videos; the h264 video (track 0) was taken" in note
    assert "left out: h264 video (track 1), h264 video (track 2)" in note


def test_a_video_of_an_unknown_codec_does_not_hide_the_next(segment: Segment, tmp_path: Path) -> None:
    given, made = Beside(videos=2).write_as(tmp_path / "given.mp4"), tmp_path / "made.mp4"
    before, after = given.read_bytes().rsplit(b"moov", 1)
    given.write_bytes(before + b"moov" + after.replace(b"avc1", b"zzzz", 1))
    (note,) = segment(given, made).notes

    assert read_content(made).numbers == list(range(COUNT))
    assert "the h264 video (track 1) was taken, left out: unknown video (track 0)" in note


def test_dispositions_and_language_of_the_video_come_back(segment: Segment, tmp_path: Path) -> None:
    wanted = Disposition.default | Disposition.original
    marked = Beside(video_metadata={"language": "deu", "title": "camera 2"}, disposition=wanted)
    given, made = marked.write_as(tmp_path / "given.mkv"), tmp_path / "made.mkv"
    segment(given, made)

    with av.open(made) as container:
        video = container.streams.video[0]
        assert (video.disposition, video.language) == (wanted, "deu")
        assert video.metadata["title"] == "camera 2"


def test_sound_of_an_unknown_codec_is_named(segment: Segment, tmp_path: Path) -> None:
    whole = Recipe(audio_tracks=1).write(tmp_path).read_bytes()
    given, made = tmp_path / "given.mp4", tmp_path / "made.mp4"
    given.write_bytes(whole.replace(b"mp4a", b"zzzz").replace(b"esds", b"zzzz"))
    report = segment(given, made)

    assert read_content(made).numbers == list(range(FRAMES))
    assert "unknown audio (track 1) cannot be copied" in " ".join(report.notes)


def test_titles_of_chapters_are_no_data_that_is_lost(segment: Segment, tmp_path: Path) -> None:
    given, made = Recipe(chapters=True).write(tmp_path), tmp_path / "made.mp4"
    report = segment(given, made)

    check_same(given, made)
    assert report.notes == ()


def test_what_the_client_draws_keeps_cover_pictures_too(stream: Segment, tmp_path: Path) -> None:
    given = Beside(cover=True).write_as(tmp_path / "given.mp4")
    drawn = [tmp_path / "a.mkv", tmp_path / "b.mp4"]
    report = stream(given, tmp_path, composed=tuple(Composed("blur", path) for path in drawn))

    assert [payloads_of(path, 1) for path in drawn] == [[(Fraction(0), COVER)]] * 2
    assert report.notes == ()


def test_a_cover_picture_cannot_go_to_standard_output(server: TritonProcess, tmp_path: Path) -> None:
    done = succeed(server, "-sv", Beside(cover=True).write_as(tmp_path / "given.mp4"), "-o", "-")

    assert b"cannot hold the input's mjpeg cover picture (track 1)" in done.stderr


def test_data_without_times_does_not_end_a_run(segment: Segment, tmp_path: Path) -> None:
    given, made = tmp_path / "given.ts", tmp_path / "made.ts"
    with av.open(Beside(data="klv").write_as(tmp_path / "timed.ts")) as source, av.open(given, "w") as target:
        copies = [target.add_stream_from_template(track, opaque=True) for track in source.streams]
        for packet in source.demux():
            if packet.size:
                packet.stream = copies[packet.stream_index]
                if packet.stream_index:
                    packet.pts = packet.dts = None
                target.mux(packet)
    segment(given, made)

    assert [payload for _, payload in payloads_of(made, 1)] == [payload for _, payload in payloads_of(given, 1)]


# ------------------------------------------------------------------ what lies beside a picture's samples

HDR10 = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1):max-cll=1000,400:hdr10=1"
QUIET = "log-level=none:pools=1:bframes=0"
HDR_KINDS = ("MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL")


@dataclass(frozen=True)
class Coded:
    """A short clip whose packets are changed before they are written."""

    encoder: str = "libx265"
    pixel_format: str = "yuv420p10le"
    options: dict[str, str] = field(default_factory=lambda: {"x265-params": QUIET})
    change: Callable[[bytes, int], bytes] = lambda payload, number: payload

    def write_as(self, path: Path) -> Path:
        """Make the clip; the path's ending says in which container."""
        encoder: Any = av.CodecContext.create(self.encoder, "w")
        encoder.width, encoder.height = SIZE
        encoder.pix_fmt, encoder.time_base, encoder.framerate = self.pixel_format, TICK, RATE
        encoder.color_primaries, encoder.color_trc, encoder.colorspace = 9, 16, 9
        encoder.options = self.options
        coded = [packet for number in range(COUNT) for packet in encoder.encode(timed_frame(number, self.pixel_format))]
        with av.open(path, "w") as container:
            codec = encoder.codec.canonical_name
            stream = container.add_mux_stream(codec, rate=RATE, width=SIZE[0], height=SIZE[1], time_base=TICK)
            for number, packet in enumerate([*coded, *encoder.encode(None)]):
                changed = timed_packet(stream, self.change(bytes(packet), number), number)
                changed.is_keyframe = packet.is_keyframe
                container.mux(changed)
        return path


H264 = Coded("libx264", "yuv420p", {"preset": "ultrafast", "bf": "0"})
HDR = Coded(options={"x265-params": f"{QUIET}:{HDR10}"})


def side_data_of(path: Path, *kinds: str) -> list[list[bytes]]:
    """The bytes of some kinds of side data, for each picture as FFmpeg decodes it."""
    with av.open(path) as container:
        frames = list(container.decode(video=0))
        return [[bytes(frame.side_data[kind]) for kind in kinds if kind in frame.side_data] for frame in frames]


@pytest.mark.parametrize("before", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize("after", ["mp4", "mkv", "ts"])
def test_hdr10_comes_back(segment: Segment, tmp_path: Path, before: str, after: str) -> None:
    given, made = HDR.write_as(tmp_path / f"given.{before}"), tmp_path / f"made.{after}"
    report = segment(given, made)

    wanted = side_data_of(given, *HDR_KINDS)[0]
    assert len(wanted) == len(HDR_KINDS)
    assert side_data_of(made, *HDR_KINDS)[0] == wanted
    assert "HDR10" not in " ".join(report.notes)


def test_hdr10_comes_back_in_what_the_client_draws(stream: Segment, tmp_path: Path) -> None:
    given, made = HDR.write_as(tmp_path / "given.ts"), tmp_path / "made.mp4"
    report = stream(given, tmp_path, composed=(Composed("blur", made),))

    assert side_data_of(made, *HDR_KINDS)[0] == side_data_of(given, *HDR_KINDS)[0]
    assert "HDR10" not in " ".join(report.notes)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("made.mp4", {"output": replace(UNCHANGED, encoder="mjpeg")}),
        ("made.webm", {"composed": ("made.webm",)}),
        ("%d.png", {}),
        ("%d.png", {"composed": ("%d.png",)}),
    ],
    ids=["mjpeg", "webm", "images", "drawn images"],
)
def test_hdr10_without_a_place_is_named(stream: Segment, tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    drawn = tuple(Composed("blur", tmp_path / other) for other in options.pop("composed", ()))
    report = stream(HDR.write_as(tmp_path / "given.ts"), tmp_path / name, composed=drawn, **options)

    assert len([note for note in report.notes if "lacks HDR10's mastering display" in note]) == 1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (with_hdr10_plus, "HDR10+ (brightness scene by scene) was lost"),
        (lambda payload, number: with_dolby_vision(payload, 8), "Dolby Vision metadata was lost; the base layer"),
        (lambda payload, number: with_dolby_vision(payload, 5), "the result's colours are wrong"),
    ],
    ids=["hdr10+", "dolby vision 8", "dolby vision 5"],
)
def test_metadata_that_no_encoder_writes_is_named(
    segment: Segment, tmp_path: Path, change: Callable[[bytes, int], bytes], told: str
) -> None:
    report = segment(replace(Coded(), change=change).write_as(tmp_path / "given.ts"), tmp_path / "made.mp4")

    assert report.frames_out == COUNT
    assert len([note for note in report.notes if told in note]) == 1


MPEG2 = Coded("mpeg2video", "yuv420p", {}, with_mpeg2_captions)
INTERLACED = replace(MPEG2, options={"flags": "+ilme+ildct"})


@pytest.mark.parametrize("clip", [replace(H264, change=with_h264_captions), MPEG2], ids=["h264", "mpeg2"])
@pytest.mark.parametrize("after", ["mp4", "ts"])
def test_captions_come_back(stream: Segment, tmp_path: Path, clip: Coded, after: str) -> None:
    given, made = clip.write_as(tmp_path / "given.ts"), tmp_path / f"made.{after}"
    report = stream(given, made)

    assert side_data_of(given, "A53_CC") == [[captions(number)] for number in range(COUNT)]
    assert side_data_of(made, "A53_CC") == side_data_of(given, "A53_CC")
    assert read_content(made).numbers == list(range(COUNT))
    assert report.notes == ()


def test_captions_of_deinterlaced_pictures_come_back(stream: Segment, tmp_path: Path) -> None:
    given, made = INTERLACED.write_as(tmp_path / "given.ts"), tmp_path / "made.ts"
    report = stream(given, made)

    assert side_data_of(made, "A53_CC") == [[captions(number)] for number in range(COUNT)]
    assert "deinterlaced" in " ".join(report.notes)


@pytest.mark.parametrize("composed", [False, True], ids=["mjpeg", "drawn"])
def test_captions_that_are_lost_are_named(stream: Segment, tmp_path: Path, composed: bool) -> None:
    given, made = replace(H264, change=with_h264_captions).write_as(tmp_path / "given.ts"), tmp_path / "made.mp4"
    drawn = (Composed("blur", made),) if composed else ()
    report = stream(given, made, replace(UNCHANGED, encoder="auto" if composed else "mjpeg"), composed=drawn)

    assert len([note for note in report.notes if "closed captions" in note and "+subcc" in note]) == 1


def test_captions_are_named_where_frames_are_sent_one_by_one(server: TritonProcess, tmp_path: Path) -> None:
    given = replace(H264, change=with_h264_captions).write_as(tmp_path / "given.ts")

    assert b"lacks the input's closed captions" in succeed(server, given, "-o", tmp_path / "made.mp4").stderr


# ------------------------------------------------------------------ photographs

EXIF = exif_of(6)
PROFILE = b"ICC_PROFILE\0\x01\x01" + bytes(128)
JPEG, PNG, WEBP, TIFF, BMP = b"\xff\xd8", b"\x89PNG", b"RIFF", b"II*\0", b"BM"


def write_still(path: Path, codec: str, pixel_format: str, alpha: int = 255) -> Path:
    """An image that is grey at the left and red at the right."""
    pixels = np.full((48, 64, 4), (128, 128, 128, alpha), np.uint8)
    pixels[:, 32:] = (200, 30, 30, 255)
    frame = av.VideoFrame.from_ndarray(pixels, "rgba")
    if path.suffix in (".avif", ".gif"):
        with av.open(path, "w") as container:
            add_pictures(container, codec, pixel_format, [frame])
        return path
    encoder: Any = av.CodecContext.create(codec, "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.framerate = 64, 48, pixel_format, RATE
    converted = frame.reformat(format=pixel_format)
    converted.pts = 0
    path.write_bytes(b"".join(bytes(packet) for packet in [*encoder.encode(converted), *encoder.encode(None)]))
    return path


def add_pictures(container: Any, codec: str, pixel_format: str, frames: list[av.VideoFrame]) -> None:
    stream = container.add_stream(codec, rate=RATE)
    stream.width, stream.height, stream.pix_fmt = frames[0].width, frames[0].height, pixel_format
    for number, frame in enumerate(frames):
        converted = frame.reformat(format=pixel_format)
        converted.pts, converted.time_base = number, TICK
        container.mux(stream.encode(converted))
    container.mux(stream.encode(None))


def pixels_of(path: Path) -> Any:
    with av.open(path) as container:
        (frame,) = container.decode(video=0)
        return frame.to_ndarray(format="rgb24").astype(int)


STILLS = [
    ("jpg", "mjpeg", "yuvj420p", "jpg", JPEG),
    ("png", "png", "rgb24", "png", PNG),
    ("webp", "libwebp", "yuv420p", "webp", WEBP),
    ("tiff", "tiff", "rgb24", "tiff", TIFF),
    ("bmp", "bmp", "bgr24", "bmp", BMP),
    ("gif", "gif", "rgb8", "png", PNG),
    ("avif", "libsvtav1", "yuv420p", "png", PNG),
]


@pytest.mark.parametrize("way", [[], ["-sv"]], ids=["frames", "streamed"])
@pytest.mark.parametrize(("before", "codec", "pixel_format", "after", "magic"), STILLS, ids=[row[0] for row in STILLS])
def test_a_photograph_comes_back_as_one(
    server: TritonProcess,
    tmp_path: Path,
    way: list[str],
    before: str,
    codec: str,
    pixel_format: str,
    after: str,
    magic: bytes,
) -> None:
    given = write_still(tmp_path / f"given.{before}", codec, pixel_format)
    succeed(server, *way, given)

    (made,) = [path for path in tmp_path.iterdir() if path != given]
    assert made.name == f"given_blur.{after}"
    assert made.read_bytes().startswith(magic)
    assert np.abs(pixels_of(made)[:, [8, 56]] - pixels_of(given)[:, [8, 56]]).max() < 12


def test_a_folder_of_photographs(server: TritonProcess, tmp_path: Path) -> None:
    (tmp_path / "given").mkdir()
    for ending, codec, pixel_format, *_ in STILLS:
        write_still(tmp_path / "given" / f"{ending}.{ending}", codec, pixel_format)
    write_still(tmp_path / "given" / "gif.png", "png", "rgb24")
    succeed(server, tmp_path / "given", "-o", tmp_path / "made")

    made = sorted(path.name for path in (tmp_path / "made").iterdir())
    assert made == ["avif.png", "bmp.bmp", "gif.gif.png", "gif.png", "jpg.jpg", "png.png", "tiff.tiff", "webp.webp"]


def test_exif_and_profile_of_a_jpeg_come_back_byte_for_byte(server: TritonProcess, tmp_path: Path) -> None:
    given, made = write_still(tmp_path / "given.jpg", "mjpeg", "yuvj420p"), tmp_path / "made.jpg"
    plain = given.read_bytes()
    segments = [
        code + (len(part) + 2).to_bytes(2, "big") + part for code, part in ((b"\xff\xe1", EXIF), (b"\xff\xe2", PROFILE))
    ]
    given.write_bytes(plain[:2] + b"".join(segments) + plain[2:])
    succeed(server, given, "-o", made)

    assert made.read_bytes().startswith(JPEG + b"".join(segments))
    assert made.read_bytes().count(PROFILE) == 1
    assert pixels_of(made).shape == (48, 64, 3)


def test_exif_of_a_webp_comes_back_byte_for_byte(server: TritonProcess, tmp_path: Path) -> None:
    given, made = write_still(tmp_path / "given.webp", "libwebp", "yuv420p"), tmp_path / "made.webp"
    (coded,) = (given.read_bytes()[12:],)
    header = b"VP8X" + (10).to_bytes(4, "little") + b"\x08\0\0\0" + b"\x3f\0\0" + b"\x2f\0\0"
    exif = b"EXIF" + len(EXIF).to_bytes(4, "little") + EXIF
    body = b"WEBP" + header + coded + exif
    given.write_bytes(b"RIFF" + len(body).to_bytes(4, "little") + body)
    succeed(server, given, "-o", made)

    assert made.read_bytes()[12:30] == header
    assert made.read_bytes().endswith(exif)
    assert np.abs(pixels_of(made) - pixels_of(given)).max() < 25


@pytest.mark.parametrize(("ending", "codec"), [("png", "png"), ("tiff", "tiff")])
def test_the_orientation_of_other_photographs_stays_true(
    server: TritonProcess, tmp_path: Path, ending: str, codec: str
) -> None:
    given, turned = write_still(tmp_path / "given.jpg", "mjpeg", "yuvj420p"), tmp_path / f"turned.{ending}"
    plain = given.read_bytes()
    given.write_bytes(plain[:2] + b"\xff\xe1" + (len(EXIF) + 2).to_bytes(2, "big") + EXIF + plain[2:])
    with av.open(given) as container:
        (frame,) = container.decode(video=0)
    encoder: Any = av.CodecContext.create(codec, "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.framerate = 64, 48, "rgb24", RATE
    turned.write_bytes(b"".join(map(bytes, [*encoder.encode(frame.reformat(format="rgb24")), *encoder.encode(None)])))
    succeed(server, turned, "-o", tmp_path / f"made.{ending}")

    assert rotation_of(turned) == rotation_of(tmp_path / f"made.{ending}") == -90
    assert (pixels_of(tmp_path / f"made.{ending}") == pixels_of(turned)).all()


def rotation_of(path: Path) -> int:
    with av.open(path) as container:
        return next(container.decode(video=0)).rotation


@pytest.mark.parametrize(("ending", "codec", "pixel_format"), [("png", "png", "rgba"), ("webp", "libwebp", "bgra")])
def test_transparency_that_is_lost_is_named(
    server: TritonProcess, tmp_path: Path, ending: str, codec: str, pixel_format: str
) -> None:
    given = write_still(tmp_path / f"given.{ending}", codec, pixel_format, alpha=100)
    opaque = write_still(tmp_path / f"opaque.{ending}", codec, pixel_format)

    assert b"whose transparency was lost: 1 of 1" in succeed(server, given).stderr
    assert b"note" not in succeed(server, opaque).stderr


@pytest.mark.parametrize("way", [[], ["-sv"]], ids=["frames", "streamed"])
@pytest.mark.parametrize(("ending", "form"), [("gif", "gif"), ("png", "apng")])
def test_an_animated_image_is_a_video(
    server: TritonProcess, tmp_path: Path, way: list[str], ending: str, form: str
) -> None:
    given, made = tmp_path / f"given.{ending}", tmp_path / "made.mp4"
    with av.open(given, "w", form) as container:
        pictures = [numbered_frame(number, SIZE, "rgb24") for number in range(COUNT)]
        add_pictures(container, form, "rgb8" if form == "gif" else "rgb24", pictures)
    succeed(server, *way, given, "-o", made)

    assert len(read_content(made).pictures) == COUNT


def test_an_animated_webp_is_a_video_or_refused_clearly(server: TritonProcess, tmp_path: Path) -> None:
    given = tmp_path / "given.webp"
    with av.open(given, "w", "webp") as container:
        add_pictures(container, "libwebp_anim", "yuv420p", [numbered_frame(n, SIZE, "yuv420p") for n in range(2)])
    made = tmp_path / "made.mp4"
    done = run(server, "-sv", given, "-o", made)

    if "webp_anim" in av.codecs_available:  # from FFmpeg 9 on
        assert done.returncode == 0
        assert len(read_content(made).pictures) == 2
    else:
        assert done.returncode == UNREADABLE
        assert b"animated WebP" in done.stderr


def test_an_image_may_still_become_a_video_that_is_named(server: TritonProcess, tmp_path: Path) -> None:
    given, made = write_still(tmp_path / "given.png", "png", "rgb24"), tmp_path / "made.mp4"
    succeed(server, "-sv", given, "-o", made)

    assert len(read_content(made).pictures) == 1


def write_transparent(path: Path, codec: str, pixel_format: str, alpha: int) -> Path:
    frames = [av.VideoFrame.from_ndarray(np.full((128, 192, 4), (200, 90, 30, alpha), np.uint8), "rgba")] * COUNT
    with av.open(path, "w", options={"auto-alt-ref": "0"} if path.suffix == ".webm" else {}) as container:
        add_pictures(container, codec, pixel_format, frames)
    return path


@pytest.mark.parametrize("alpha", [100, 255])
def test_transparency_of_pictures_that_no_server_decodes_is_named(segment: Segment, tmp_path: Path, alpha: int) -> None:
    given = write_transparent(tmp_path / "given.mov", "png", "rgba", alpha)
    notes = " ".join(segment(given, tmp_path / "made.mp4").notes)

    assert ("transparent in places; that was lost" in notes) == (alpha != 255)


def test_transparency_beside_vp9_is_named(segment: Segment, tmp_path: Path) -> None:
    given = write_transparent(tmp_path / "given.webm", "libvpx-vp9", "yuva420p", 100)

    assert "transparent in places; that was lost" in " ".join(segment(given, tmp_path / "made.mkv").notes)


@pytest.mark.parametrize("way", [[], ["-sv"]], ids=["frames", "streamed"])
def test_png_images_with_a_colour_profile(server: TritonProcess, tmp_path: Path, way: list[str]) -> None:
    profile = b"sRGB\0\0" + zlib.compress(bytes(128))
    for number in range(2):
        image = write_still(tmp_path / f"{number}.png", "png", "rgb24")
        image.write_bytes(with_png_chunk(image.read_bytes(), b"iCCP", profile))
    succeed(server, *way, tmp_path / "%d.png", "-o", tmp_path / "made.mp4")

    assert len(read_content(tmp_path / "made.mp4").pictures) == 2


def with_png_chunk(content: bytes, name: bytes, payload: bytes) -> bytes:
    """A PNG with a chunk behind its header."""
    end = 8 + 12 + 13
    checksum = zlib.crc32(name + payload).to_bytes(4, "big")
    return content[:end] + len(payload).to_bytes(4, "big") + name + payload + checksum + content[end:]


@pytest.mark.parametrize("quarter_turns", [0, 1])
def test_a_photograph_in_tiles_is_joined_and_stands_upright(
    server: TritonProcess, tmp_path: Path, quarter_turns: int
) -> None:
    colors = [(200, 30, 30), (30, 200, 30), (30, 30, 200), (200, 200, 30)]
    tiles = [np.full((64, 96, 3), color, np.uint8) for color in colors]
    given, made = tmp_path / "given.heic", tmp_path / "given_blur.png"
    given.write_bytes(make_heic(tiles, 2, 2, (180, 120), quarter_turns))
    said = succeed(server, "--strength", "0", given).stderr

    corners = np.rot90(pixels_of(made), -quarter_turns)[[8, 8, -8, -8], [8, -8, 8, -8]]
    assert pixels_of(made).shape == ((180, 120, 3) if quarter_turns else (120, 180, 3))
    assert np.abs(corners - colors).max() < 12
    assert b"became PNG without their EXIF: 1 of 1" in said


def test_a_photograph_in_one_piece_stands_upright(server: TritonProcess, tmp_path: Path) -> None:
    picture = np.full((64, 96, 3), (200, 30, 30), np.uint8)
    picture[:, 48:] = (30, 30, 200)
    given, made = tmp_path / "given.heic", tmp_path / "given_blur.png"
    given.write_bytes(make_single_heic(picture, quarter_turns=1))
    succeed(server, "--strength", "0", given)

    assert rotation_of(made) == 0
    assert pixels_of(made).shape == (96, 64, 3)
    assert np.abs(np.rot90(pixels_of(made), -1)[:, [8, 88]] - picture[:, [8, 88]]).max() < 12


def test_tiles_of_an_unknown_order_are_refused_clearly(server: TritonProcess, tmp_path: Path) -> None:
    given = tmp_path / "given.heic"
    given.write_bytes(make_heic([np.full((64, 96, 3), 90, np.uint8)], 1, 1, (96, 64)).replace(b"irot", b"imir"))
    done = run(server, given)

    assert done.returncode == UNREADABLE
    assert b"in tiles of an unknown order" in done.stderr


# ------------------------------------------------------------------ HDR10's metadata in the container alone

MDCV = struct.pack(">8H2I", 13250, 34500, 7500, 3000, 34000, 16000, 15635, 16450, 10_000_000, 1)
CLLI = struct.pack(">2H", 1000, 400)


def with_hdr_boxes(content: bytes) -> bytes:
    """An MP4 whose index comes last, with HDR10's metadata in the video's sample entry."""
    boxes = b"".join(
        (len(payload) + 8).to_bytes(4, "big") + kind + payload for kind, payload in ((b"mdcv", MDCV), (b"clli", CLLI))
    )
    changed = bytearray(content)
    for kind in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"hev1"):
        start = content.index(kind, content.index(b"moov")) - 4
        length = int.from_bytes(content[start : start + 4], "big")
        changed[start : start + 4] = (length + len(boxes)).to_bytes(4, "big")
    changed[start + length : start + length] = boxes
    return bytes(changed)


@pytest.mark.parametrize("after", ["mp4", "mkv"])
def test_hdr10_of_the_container_alone_comes_back(segment: Segment, tmp_path: Path, after: str) -> None:
    given, made = Coded().write_as(tmp_path / "given.mp4"), tmp_path / f"made.{after}"
    given.write_bytes(with_hdr_boxes(given.read_bytes()))
    segment(given, made)

    wanted = side_data_of(HDR.write_as(tmp_path / "wanted.ts"), *HDR_KINDS)[0]
    assert side_data_of(made, *HDR_KINDS)[0] == wanted
