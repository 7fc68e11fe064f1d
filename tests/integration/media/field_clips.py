"""Clips as the field has them: without pts, begun between keyframes, with packets that hold no picture."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import av.error
from av.bitstream import BitStreamFilterContext
from numbered_clips import RATE, Recipe, numbered_frame

SIZE = (192, 128)
_TICK = Fraction(1, 90000)


@dataclass(frozen=True)
class Coded:
    """A packet's bytes and its times, in frames."""

    payload: bytes
    pts: Fraction
    dts: Fraction
    is_keyframe: bool


def encode(encoder: str, num_frames: int, **options: str) -> list[Coded]:
    """Return the packets of a numbered clip."""
    context: Any = av.CodecContext.create(encoder, "w")
    context.width, context.height = SIZE
    context.pix_fmt, context.time_base, context.framerate = "yuv420p", 1 / RATE, RATE
    context.thread_count = 1
    context.options = options
    packets = []
    for number in range(num_frames):
        frame = numbered_frame(number, SIZE, "yuv420p")
        frame.pts, frame.time_base = number, 1 / RATE
        packets += context.encode(frame)
    packets += context.encode(None)
    return [Coded(bytes(p), Fraction(p.pts), Fraction(p.dts), p.is_keyframe) for p in packets]


def mux(path: Path, codec: str, packets: Iterable[Coded]) -> Path:
    """Write packets as a file of one track."""
    with av.open(path, "w") as container:
        stream = container.add_mux_stream(codec, rate=RATE, width=SIZE[0], height=SIZE[1], time_base=_TICK)
        for coded in packets:
            packet: Any = av.Packet(coded.payload)
            packet.pts, packet.dts = (int(time / RATE / _TICK) for time in (coded.pts, coded.dts))
            packet.stream, packet.time_base, packet.is_keyframe = stream, _TICK, coded.is_keyframe
            container.mux(packet)
    return path


def remux(given: Path, path: Path, change: Callable[[int, Any], bool]) -> Path:
    """Copy a file; `change` is called with each packet and its number in its track, and says whether it is kept."""
    with av.open(given) as source, av.open(path, "w") as target:
        copies = {stream.index: target.add_stream_from_template(stream, opaque=True) for stream in source.streams}
        counts = dict.fromkeys(copies, 0)
        for packet in source.demux():
            if not packet.size:
                continue
            number = counts[packet.stream_index]
            counts[packet.stream_index] += 1
            if change(number, packet):
                packet.stream = copies[packet.stream_index]
                target.mux(packet)
    return path


def with_pts_in_decode_order(folder: Path, suffix: str) -> Path:
    """A clip with B-frames whose muxer was given the decoding order as pts."""
    whole = Recipe(ending="mp4").write(folder)

    def change(number: int, packet: Any) -> bool:
        packet.pts = packet.dts = number * 512
        return True

    return remux(whole, folder / f"given.{suffix}", change)


def begun_between_keyframes(folder: Path, recipe: Recipe, num_missing: int) -> Path:
    """A recording whose video begins so many packets late."""
    whole = recipe.write(folder)

    def change(number: int, packet: Any) -> bool:
        return packet.stream.type != "video" or number >= num_missing

    return remux(whole, folder / f"given.{recipe.ending}", change)


def cut_by_an_edit_list(folder: Path, num_cut: int) -> Path:
    """An MP4 whose edit list leaves out so many frames, which lie behind the keyframe all the same."""
    whole = Recipe(ending="mp4", stamps=STAMPS).write(folder)

    def change(_: int, packet: Any) -> bool:
        packet.pts, packet.dts = packet.pts - num_cut * 512, packet.dts - num_cut * 512
        return True

    return remux(whole, folder / "given.mp4", change)


def encode_with_hidden_frames() -> list[Coded]:
    """24 pictures of AV1, some of whose packets hold frames that are never shown."""
    return encode("libsvtav1", 24, preset="12", crf="40", **{"svtav1-params": "lp=1:hierarchical-levels=3"})


def split_av1(packets: Iterable[Coded]) -> Iterator[list[Any]]:
    """Give the frames of each packet as packets of their own."""
    with av.open(BytesIO(), "w", "ivf") as container:  # PyAV 17 makes a filter for a track alone
        split = BitStreamFilterContext("av1_frame_split", container.add_mux_stream("av1"))
    for coded in packets:
        packet: Any = av.Packet(coded.payload)
        packet.is_keyframe = coded.is_keyframe
        yield split.filter(packet)


def with_hidden_frames(path: Path) -> Path:
    """AV1 with each frame in a packet of its own, also those that are never shown."""
    packets = encode_with_hidden_frames()
    frames = []
    for coded, parts in zip(packets, split_av1(packets), strict=True):
        for position, part in enumerate(parts):
            time = coded.pts + Fraction(position, 10)
            frames.append(Coded(bytes(part), time, time, part.is_keyframe))
    assert len(frames) > len(packets)
    return mux(path, "av1", frames)


def decoded_times(path: Path) -> list[Fraction]:
    """When FFmpeg shows each picture, from the first one on; what it refuses is left out."""
    times: list[Fraction] = []
    with av.open(path) as container:
        for packet in container.demux(video=0):
            try:
                times += [frame.pts * frame.time_base for frame in packet.decode()]
            except av.error.FFmpegError:
                continue
    return times


def sound_of(path: Path) -> list[tuple[str, str, list[tuple[Fraction, bytes]]]]:
    """Its sound as `checker.read_content` gives it, of a file whose pictures may not decode."""
    with av.open(path) as container:
        track = container.streams.audio[0]
        packets = [(p.pts * p.time_base, bytes(p)) for p in container.demux(track) if p.size and p.pts is not None]
        return [("audio", track.metadata.get("language", "und"), packets)]


STAMPS = range(0, 24 * 512, 512)
RECORDINGS: Mapping[str, Recipe] = {
    "h264": Recipe(ending="ts", stamps=STAMPS),
    "h264 in mkv": Recipe(ending="mkv", stamps=STAMPS),
    "h264 in mp4": Recipe(ending="mp4", stamps=STAMPS),
    "open groups": Recipe(ending="ts", stamps=STAMPS, options={"x264-params": "open-gop=1"}),
    "gradual refresh": Recipe(ending="ts", stamps=STAMPS, options={"bf": "0", "x264-params": "intra-refresh=1"}),
    "hevc": Recipe("hevc", "ts", stamps=STAMPS),
    "mpeg2video": Recipe("mpeg2video", "ts", stamps=STAMPS),
    "vp8": Recipe("vp8", "mkv", stamps=STAMPS, options={"g": "8"}),
    "vp9": Recipe("vp9", "mkv", stamps=STAMPS, options={"g": "8"}),
    "av1": Recipe("av1", "mkv", stamps=STAMPS, options={"svtav1-params": "lp=1:keyint=8"}),
}
"""Recordings with a keyframe every eight frames."""
