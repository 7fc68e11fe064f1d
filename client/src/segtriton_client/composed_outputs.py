"""Several outputs of one pass: the service sends masks, the client draws each effect on its own pictures."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import av
import numpy as np

from segtriton_client.carried import Carried
from segtriton_client.compositors import Compose, Plane
from segtriton_client.errors import OutputError, StoppedError
from segtriton_client.image_sequence import ImageSequence, is_sequence
from segtriton_client.local_encoder import LocalEncoder
from segtriton_client.local_frames import LocalFrames
from segtriton_client.mask_writer import decode_mask
from segtriton_client.muxer import OutputFile
from segtriton_client.picture_metadata import PictureMetadata
from segtriton_client.pictures import PictureReader
from segtriton_client.several_outputs import Output, SeveralOutputs
from segtriton_client.sources import Destination
from segtriton_client.system_errors import writing
from segtriton_client.unfinished_file import DeferredWriter, UnfinishedFile
from segtriton_protocol import OutputSpec, Packet, VideoFormat

_MASK_LINES_ENDING = ".jsonl"
_WEBM_ENDING = ".webm"
# What holds nothing that a server codes.
LOCAL_ENDINGS = frozenset((_MASK_LINES_ENDING, _WEBM_ENDING))
_VP9 = "libvpx-vp9"
_VP9_OPTIONS = {"deadline": "realtime", "cpu-used": "8", "crf": "20", "b": "0"}
_ALPHA_CODECS = {
    _WEBM_ENDING: (_VP9, "yuva420p", _VP9_OPTIONS),
    ".mkv": (_VP9, "yuva420p", _VP9_OPTIONS),
    ".mov": ("prores_ks", "yuva444p10le", {"profile": "4444"}),
}


class Drawing(Output, Protocol):
    """An output that draws."""

    def draw(self, rgb: Plane, mask: Plane, packet: Packet) -> None:
        """Add a frame: its picture, its mask, and the packet that brought the mask."""

    def finish(self) -> None:
        """Write what is left."""


class DrawnVideo(OutputFile):
    """An effect as a video, encoded here; with alpha for `cutout`."""

    def __init__(
        self, path: Destination, effect: str, compose: Compose, video: VideoFormat, carried: Carried, spec: OutputSpec
    ) -> None:
        """Open the file and the encoder; raises OutputError."""
        codec, self._pixel_format, options = _choose_codec(path, effect, video, spec)
        super().__init__(path, video, carried)
        if codec == _VP9 and video.sample_aspect not in (None, 1):
            self.notes.append(f"{path} cannot say that its samples are {video.sample_aspect} as wide as high.")
        self._compose = compose
        self._pictures = PictureReader(video, deinterlace=False)
        self._time_base = video.time_base
        size = video.width, video.height
        try:
            self._encoder = LocalEncoder(
                self, video, size, codec=codec, pixel_format=self._pixel_format, options=options
            )
        except BaseException:
            self.__exit__(None, None, None)
            raise

    def draw(self, rgb: Plane, mask: Plane, packet: Packet) -> None:
        """See `Drawing`."""
        composite = self._compose(rgb, mask, (packet.pts or 0) * self._time_base)
        self._encoder.encode(self._pictures.to_yuv(composite, self._pixel_format), packet.pts, packet.duration)

    def finish(self) -> None:
        """See `Drawing`."""
        self._encoder.finish()


class DrawnImages(ImageSequence):
    """An effect as numbered images, turned as they are seen."""

    def __init__(self, pattern: Path, compose: Compose, video: VideoFormat) -> None:
        """Check the pattern; raises OutputError."""
        super().__init__(pattern)
        self._compose = compose
        self._time_base = video.time_base
        self._orientation = video.orientation

    def draw(self, rgb: Plane, mask: Plane, packet: Packet) -> None:
        """See `Drawing`."""
        composite = self._compose(rgb, mask, (packet.pts or 0) * self._time_base)
        self.write_image(self._orientation.to_shown(composite))

    def finish(self) -> None:
        """See `Drawing`."""


class MaskLines:
    """Masks as text, a JSON object a line: seq, pts, time, duration, size [h, w] and COCO's run lengths.

    A mask lies as its picture is stored: to be seen, it is mirrored left to right where `mirrored` is true, then
    turned by `rotation` degrees clockwise.
    `counts` are the lengths of runs of 0 and 1 in turn, beginning with 0, down the columns (Lin et al., "Microsoft
    COCO", 2014): what pycocotools calls an uncompressed RLE.
    """

    def __init__(self, path: Path, video: VideoFormat) -> None:
        """Open the file under its temporary name; raises OutputError."""
        self.notes: list[str] = []
        self._file = UnfinishedFile(path)
        self._lines = DeferredWriter(self._file.written)
        self._time_base = video.time_base
        self._orientation = video.orientation

    def __enter__(self) -> MaskLines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._lines.close()
        if isinstance(error, StoppedError) and self._file.keep():
            error.add_kept(self._file.written)
        self._file.discard()

    def draw(self, rgb: Plane, mask: Plane, packet: Packet) -> None:
        """See `Drawing`."""
        line = {
            "seq": packet.seq,
            "pts": packet.pts,
            "time": None if packet.pts is None else float(packet.pts * self._time_base),
            "duration": packet.duration,
            "size": list(mask.shape),
            "rotation": self._orientation.rotation,
            "mirrored": self._orientation.is_mirrored,
            "counts": run_lengths(mask > 127),
        }
        with writing(self._file.path):
            self._lines.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")

    def write_carried(self, packet: av.Packet[Any]) -> None:
        """See `Drawing`: a text holds no sound."""

    def finish(self) -> None:
        """See `Drawing`."""

    def commit(self) -> None:
        """See `Drawing`."""
        with writing(self._file.path):
            self._lines.close()
        self._file.commit()


class ComposedOutputs(SeveralOutputs[Drawing]):
    """All outputs of a pass, as one output and its writer.

    Attributes:
        busy_seconds: how long decoding, drawing and coding have taken here.
    """

    def __init__(self, drawings: Sequence[Drawing], frames: LocalFrames, mask_hw: tuple[int, int]) -> None:
        """Take what is drawn, the pictures, and the masks' height and width in pixels."""
        super().__init__(drawings)
        self.busy_seconds = 0.0
        self._frames = frames
        self._mask_hw = mask_hw

    def write(self, packet: Packet) -> None:
        """Draw all effects for a mask."""
        begun = time.monotonic()
        rgb, mask = self._frames.take(packet.seq), decode_mask(packet.payload, self._mask_hw)
        for drawing in self.outputs:
            drawing.draw(rgb, mask, packet)
        self.busy_seconds += time.monotonic() - begun

    def finish(self) -> None:
        """Write what is left in all encoders."""
        for drawing in self.outputs:
            drawing.finish()


def open_drawing(
    path: Destination, effect: str, compose: Compose, video: VideoFormat, carried: Carried, spec: OutputSpec
) -> Drawing:
    """Return an output by its name; raises OutputError."""
    if isinstance(path, Path) and is_sequence(path):
        images = DrawnImages(path, compose, video)
        images.notes += carried.picture.lost_in(PictureMetadata(), path)
        return images
    if isinstance(path, Path) and path.suffix.lower() == _MASK_LINES_ENDING:
        return MaskLines(path, video)
    return DrawnVideo(path, effect, compose, video, carried, spec)


def run_lengths(mask: np.ndarray[tuple[int, int], np.dtype[np.bool_]]) -> list[int]:
    """COCO's uncompressed run lengths of a mask [h, w]."""
    cells = mask.ravel(order="F")
    ends = np.flatnonzero(np.diff(cells, prepend=False)).tolist()
    return [int(length) for length in np.diff([0, *ends, len(cells)])]


def _choose_codec(
    path: Destination, effect: str, video: VideoFormat, spec: OutputSpec
) -> tuple[str, str, dict[str, str]]:
    ending = path.suffix.lower() if isinstance(path, Path) else ""
    if effect == "cutout":
        if ending not in _ALPHA_CODECS:
            raise OutputError(
                f"{path} cannot hold transparent video.", f"Choose {', '.join(_ALPHA_CODECS)} or frame_%04d.png."
            )
        return _ALPHA_CODECS[ending]
    if ending == _WEBM_ENDING:
        return _VP9, "yuv420p", _VP9_OPTIONS
    is_even = video.width % 2 == 0 and video.height % 2 == 0
    return "libx264", "yuv420p" if is_even else "yuv444p", {"preset": spec.preset, "crf": str(spec.crf)}
