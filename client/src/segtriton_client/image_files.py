"""Images and folders of images, in and out."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TypeGuard, TypeVar

import av
import numpy as np
from numpy.typing import NDArray

from segtriton_client.demuxer import pick_video
from segtriton_client.errors import InputError, OutputError
from segtriton_client.file_kinds import is_folder, is_stream
from segtriton_client.sources import Destination, Source, open_input
from segtriton_client.system_errors import reading, writing
from segtriton_client.unfinished_file import UnfinishedFile, make_folder_of

_Images = TypeVar("_Images", bound="UnfinishedImages")

_CODECS = {".png": "png", ".jpg": "mjpeg", ".jpeg": "mjpeg"}
_JPEG_QUALITY = 2  # the quantiser scale, 1 (best) to 31


class UnfinishedImages:
    """Images under temporary names; `commit` renames them, leaving without removes them."""

    def __init__(self) -> None:
        self._files: list[UnfinishedFile] = []
        self._names: Collection[str] = ()  # what images will be called: none of them may have that name before

    def __enter__(self: _Images) -> _Images:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._files:
            file.discard()

    def write(self, rgb: NDArray[np.uint8], place: Path) -> None:
        """Write one image, UINT8 [height, width, 3 or 4], that is to lie at `place`; raises OutputError."""
        with writing(place):
            content = encode_image(rgb, _CODECS.get(place.suffix.lower(), "png"))  # a pipe's name need not say
        make_folder_of(place)
        self._files.append(UnfinishedFile(place, self._names))
        self._files[-1].write(content)

    def commit(self) -> None:
        """Give all images their names."""
        for file in self._files:
            file.commit()


class ImageFiles(UnfinishedImages):
    """One image, or all images of a folder, each written under its own name in the output.

    Attributes:
        frames: how many images there are.
    """

    encoder = "image"
    codec = "image"
    pixel_format = "rgb24"
    notes: tuple[str, ...] = ()

    def __init__(self, input_path: Path, output_path: Destination) -> None:
        super().__init__()
        if not isinstance(output_path, Path):
            raise OutputError(f"Images cannot go to {output_path}.", "Choose a file or a folder with -o.")
        if is_folder(input_path):
            names = images_of(input_path)
            self._pairs = [(path, output_path / path.name) for path in names]
            if not names:
                raise InputError(f"{input_path} holds no PNG or JPEG images.", "Name a folder of images or a video.")
        else:
            self._pairs = [(input_path, output_path)]
            if not (self.accepts(output_path) or is_stream(output_path)):
                raise OutputError(f"{output_path.name} is no image.", f"Choose one of {', '.join(_CODECS)}.")
        self._names = {place.name for _, place in self._pairs}
        self.frames = len(self._pairs)
        self.damaged: dict[int, str] = {}

    @staticmethod
    def accepts(path: Path) -> bool:
        """Tell whether the name is an image's."""
        return path.suffix.lower() in _CODECS

    def read(self) -> Iterator[tuple[NDArray[np.uint8], Path]]:
        """Give each image with the path of its output."""
        for source, target in self._pairs:
            yield read_image(source), target

    def finish(self) -> None:
        """Do nothing: every picture has been written."""


def is_images(source: Source) -> TypeGuard[Path]:
    """Tell whether a source is an image or a folder of them."""
    return isinstance(source, Path) and (is_folder(source) or ImageFiles.accepts(source))


def images_of(folder: Path) -> list[Path]:
    """Return a folder's images, by their names; raises InputError."""
    with reading(folder):
        return sorted(path for path in folder.iterdir() if ImageFiles.accepts(path) and not is_folder(path))


def read_image(path: Path) -> NDArray[np.uint8]:
    """Return an image, UINT8 [height, width, 3]; raises InputError."""
    container = open_input(path)
    with container, reading(path):
        frame = next(container.decode(pick_video(container, path)), None)
    if frame is None:
        raise InputError(f"{path} holds no picture.")
    return np.ascontiguousarray(frame.to_ndarray(format="rgb24"))


def write_image(rgb: NDArray[np.uint8], path: Path) -> None:
    """Write pixels, UINT8 [height, width, 3 or 4], as a PNG or JPEG by the path's ending; raises OutputError."""
    with UnfinishedImages() as images:
        images.write(rgb, path)
        images.commit()


def encode_image(rgb: NDArray[np.uint8], codec: str) -> bytes:
    """Return pixels, UINT8 [height, width, 3 or 4], as a PNG ("png") or JPEG ("mjpeg", without alpha)."""
    kind = "rgba" if rgb.shape[2] == 4 else "rgb24"
    pixel_format = kind if codec == "png" else "yuvj420p"
    encoder = av.CodecContext.create(codec, "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.height, encoder.width = rgb.shape[:2]
    encoder.pix_fmt = pixel_format
    encoder.framerate = Fraction(1)
    encoder.qmin = encoder.qmax = _JPEG_QUALITY
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), kind).reformat(format=pixel_format)
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])
