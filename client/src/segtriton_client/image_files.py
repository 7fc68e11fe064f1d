"""Images and folders of images, in and out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from types import TracebackType
from typing import TypeGuard, TypeVar

import numpy as np
from numpy.typing import NDArray

from segtriton_client.errors import InputError, OutputError
from segtriton_client.file_kinds import is_folder, is_stream
from segtriton_client.sources import Destination, Source
from segtriton_client.still_images import (
    WRITTEN_SUFFIXES,
    StillImage,
    encode_still,
    is_still,
    read_still,
    written_suffix,
)
from segtriton_client.system_errors import reading, writing
from segtriton_client.unfinished_file import UnfinishedFile, make_folder_of

_Images = TypeVar("_Images", bound="UnfinishedImages")


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
            content = self._encode(rgb, place)
        make_folder_of(place)
        self._files.append(UnfinishedFile(place, self._names))
        self._files[-1].write(content)

    def _encode(self, rgb: NDArray[np.uint8], place: Path) -> bytes:
        """Return the file that is to lie at `place`."""
        return encode_still(rgb, _suffix_of(place))

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
    is_truncated = False

    def __init__(self, input_path: Path, output_path: Destination) -> None:
        super().__init__()
        if not isinstance(output_path, Path):
            raise OutputError(f"Images cannot go to {output_path}.", "Choose a file or a folder with -o.")
        if is_folder(input_path):
            names = images_of(input_path)
            self._pairs = [(path, output_path / name) for path, name in zip(names, result_names(names), strict=True)]
            if not names:
                raise InputError(f"{input_path} holds no images.", "Name a folder of images or a video.")
        else:
            self._pairs = [(input_path, output_path)]
            if not (self.accepts(output_path) or is_stream(output_path)):
                raise OutputError(f"{output_path.name} is no image.", f"Choose one of {', '.join(WRITTEN_SUFFIXES)}.")
        self._names = {place.name for _, place in self._pairs}
        self.frames = len(self._pairs)
        self.damaged: dict[int, str] = {}
        self._originals: dict[Path, StillImage] = {}
        self._losses: Counter[str] = Counter()

    @staticmethod
    def accepts(path: Path) -> bool:
        """Tell whether a result may have the name."""
        return path.suffix.lower() in WRITTEN_SUFFIXES

    @property
    def notes(self) -> tuple[str, ...]:
        """What was changed about the images, each one sentence."""
        return tuple(f"{loss}: {count} of {self.frames}." for loss, count in self._losses.items())

    def read(self) -> Iterator[tuple[NDArray[np.uint8], Path]]:
        """Give each image, as it is seen, with the path of its output."""
        for source, target in self._pairs:
            original = read_still(source)
            self._note(original)
            self._originals[target] = original
            yield original.rgb, target

    def finish(self) -> None:
        """Do nothing: every picture has been written."""

    def _encode(self, rgb: NDArray[np.uint8], place: Path) -> bytes:
        return encode_still(rgb, _suffix_of(place), self._originals.pop(place, None))

    def _note(self, original: StillImage) -> None:
        is_gif = original.path.suffix.lower() == ".gif"
        self._losses.update(
            loss
            for loss, is_true in (
                ("Images whose transparency was lost", original.has_alpha),
                ("Images of more than 8 bits, converted to 8", original.is_deep),
                ("HEIC and AVIF images, which became PNG without their EXIF", not original.is_of_file and not is_gif),
            )
            if is_true
        )


def is_images(source: Source) -> TypeGuard[Path]:
    """Tell whether a source is an image or a folder of them."""
    return isinstance(source, Path) and (is_folder(source) or is_still(source))


def images_of(folder: Path) -> list[Path]:
    """Return a folder's images, by their names; raises InputError."""
    with reading(folder):
        return sorted(path for path in folder.iterdir() if is_still(path) and not is_folder(path))


def result_names(paths: list[Path]) -> list[str]:
    """Return the names of a folder's results: those of the images, with another ending if need be."""
    taken = {path.name for path in paths}
    named = [path.with_suffix(written_suffix(path.suffix)).name for path in paths]
    return [
        name if name == path.name or name not in taken else f"{path.name}.png"
        for path, name in zip(paths, named, strict=True)
    ]


def write_image(rgb: NDArray[np.uint8], path: Path) -> None:
    """Write pixels, UINT8 [height, width, 3 or 4], as an image by the path's ending; raises OutputError."""
    with UnfinishedImages() as images:
        images.write(rgb, path)
        images.commit()


def _suffix_of(place: Path) -> str:
    """Return how an image is coded; the name of a pipe or a device need not say."""
    return place.suffix if ImageFiles.accepts(place) else ".png"
