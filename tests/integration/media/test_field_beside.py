"""What files of the field hold beside pictures and sound: it comes back, or a note names what does not."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from av.stream import Disposition
from checker import check_same, read_content
from numbered_clips import FRAMES, RATE, Recipe, numbered_frame
from segclient_runs import succeed
from segments import UNCHANGED, Segment
from sei_messages import captions, with_dolby_vision, with_h264_captions, with_hdr10_plus, with_mpeg2_captions

from segtriton_client.job import Composed
from segtriton_server.launch import TritonProcess

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
        return [[bytes(found) for found in frame.side_data if found.type.name in kinds] for frame in frames]


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
