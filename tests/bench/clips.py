"""The clips of the benchmark: 720p, video only, made once and kept in the temporary folder."""

import hashlib
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av

SIZE_WH = (1280, 720)
FRAME_RATE = 25
FOLDER = Path(tempfile.gettempdir()) / f"segtriton-bench-{os.getuid()}"


@dataclass(frozen=True)
class Clip:
    """A clip by the name it has in the table."""

    name: str
    path: Path
    num_frames: int


def bunny(source: Path, repeats: int) -> Clip:
    """The film as its packets are, several times in a row, without sound."""
    return _cached("bunny", source, repeats, lambda part: _repeat_packets(source, part, repeats))


def person(source: Path, repeats: int) -> Clip:
    """A speaker before a window, enlarged to 720p, several times in a row."""
    return _cached("person", source, repeats, lambda part: _enlarge(source, part, repeats))


def _cached(name: str, source: Path, repeats: int, make: Callable[[Path], None]) -> Clip:
    digest = hashlib.sha256(source.read_bytes()).hexdigest()[:12]
    path = FOLDER / f"{name}_{digest}_x{repeats}.mp4"
    if not path.is_file():
        FOLDER.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".part.mp4")
        make(partial)
        partial.replace(path)
    with av.open(str(path)) as container:
        return Clip(name, path, container.streams.video[0].frames)


def _repeat_packets(source: Path, target: Path, repeats: int) -> None:
    with av.open(str(target), "w") as output:
        video_out = None
        shift = 0
        for _ in range(repeats):
            with av.open(str(source)) as container:
                video_in = container.streams.video[0]
                if video_out is None:
                    video_out = output.add_stream_from_template(video_in)
                    video_out.time_base = video_in.time_base
                end = shift
                for packet in container.demux(video_in):
                    if not packet.size:
                        continue
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    end = max(end, packet.pts + packet.duration)
                    packet.stream = video_out
                    output.mux(packet)
                shift = end


def _enlarge(source: Path, target: Path, repeats: int) -> None:
    width, height = SIZE_WH
    num_frames = 0
    with av.open(str(target), "w") as output:
        video_out = output.add_stream("libx264", rate=FRAME_RATE)
        video_out.width, video_out.height, video_out.pix_fmt = width, height, "yuv420p"
        video_out.options = {"preset": "veryfast", "crf": "20"}
        for _ in range(repeats):
            with av.open(str(source)) as container:
                for frame in container.decode(video=0):
                    enlarged = frame.reformat(width, height, "yuv420p", interpolation="BICUBIC")
                    enlarged.pts, enlarged.time_base = num_frames, Fraction(1, FRAME_RATE)
                    num_frames += 1
                    output.mux(video_out.encode(enlarged))
        output.mux(video_out.encode(None))
