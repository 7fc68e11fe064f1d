"""The clips of the GPU benchmark: a film enlarged and played to and fro, made once and kept in a folder."""

import hashlib
import itertools
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.bitstream import BitStreamFilterContext
from numpy.typing import NDArray

FRAME_RATE = 30
GOP_FRAMES = 2 * FRAME_RATE
FOLDER = Path(tempfile.gettempdir()) / f"segtriton-bench-{os.getuid()}"
# A live source sends each picture when it has it: with B-frames the stream itself would be late by several pictures.
KINDS = {"film": {"bf": "3"}, "live": {"bf": "0", "tune": "zerolatency"}}


@dataclass(frozen=True)
class Clip:
    """A clip as an MP4 file, and as packets with start codes for a decoder that has no demuxer."""

    path: Path
    num_frames: int

    def annex_b(self) -> list[bytes]:
        """The packets, each with start codes and parameter sets where it needs them."""
        content = self.path.with_suffix(".h264").read_bytes()
        offsets = np.load(self.path.with_suffix(".npy")).tolist()
        return [content[start:end] for start, end in itertools.pairwise(offsets)]

    def frames(self, count: int, pixel_format: str = "yuv420p") -> list[av.VideoFrame]:
        """The first pictures, decoded."""
        with av.open(str(self.path)) as container:
            container.streams.video[0].thread_type = "AUTO"
            frames = itertools.islice(container.decode(video=0), count)
            return [frame.reformat(format=pixel_format) for frame in frames]

    def rgb(self, count: int) -> NDArray[np.uint8]:
        """The first pictures, UINT8 [count, height, width, 3]."""
        return np.stack([frame.to_ndarray(format="rgb24") for frame in self.frames(count)])


def make_clip(source: Path, kind: str, size_wh: tuple[int, int], num_frames: int, folder: Path) -> Clip:
    """Return the clip, made if the folder does not have it yet."""
    digest = hashlib.sha256(source.read_bytes()).hexdigest()[:12]
    path = folder / f"{kind}_{digest}_{size_wh[0]}x{size_wh[1]}_{num_frames}.mp4"
    if not path.with_suffix(".npy").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".part.mp4")
        _encode(source, partial, size_wh, num_frames, KINDS[kind])
        partial.replace(path)
        _write_annex_b(path)
    return Clip(path, num_frames)


def open_clip(path: Path) -> Clip:
    """Return a clip that is there."""
    with av.open(str(path)) as container:
        return Clip(path, container.streams.video[0].frames)


def _encode(source: Path, target: Path, size_wh: tuple[int, int], num_frames: int, options: dict[str, str]) -> None:
    width, height = size_wh
    with av.open(str(target), "w") as output:
        video = output.add_stream("libx264", rate=FRAME_RATE)
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        video.options = {"preset": "veryfast", "crf": "23", "g": str(GOP_FRAMES), "flags": "+cgop", **options}
        for number, frame in enumerate(itertools.islice(_to_and_fro(source, size_wh), num_frames)):
            frame.pts, frame.time_base, frame.pict_type = number, Fraction(1, FRAME_RATE), 0
            output.mux(video.encode(frame))
        output.mux(video.encode(None))


def _to_and_fro(source: Path, size_wh: tuple[int, int]) -> Iterator[av.VideoFrame]:
    with av.open(str(source)) as container:
        container.streams.video[0].thread_type = "AUTO"
        frames = [frame.reformat(*size_wh, "yuv420p", interpolation="BICUBIC") for frame in container.decode(video=0)]
    return itertools.cycle([*frames, *frames[-2:0:-1]])


def _write_annex_b(path: Path) -> None:
    packets = []
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        start_codes = BitStreamFilterContext("h264_mp4toannexb", video)
        for packet in container.demux(video):
            if packet.size:
                packets += [bytes(converted) for converted in start_codes.filter(packet)]
    path.with_suffix(".h264").write_bytes(b"".join(packets))
    # Last, as its presence says that the clip is complete.
    np.save(path.with_suffix(".npy"), np.cumsum([0, *map(len, packets)]))
