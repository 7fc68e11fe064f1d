"""Where videos come from: files, folders, URLs, standard input, cameras and numbered images."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import av
import av.error
from av.container import InputContainer

from segtriton_client.errors import InputError
from segtriton_client.file_kinds import exists, is_folder, is_stream
from segtriton_client.numbered_names import as_ffmpeg_pattern, is_numbered
from segtriton_client.standard_streams import standard_input
from segtriton_client.system_errors import advice_on_input, reading, reason_of

Source = Path | str
"""A path, or as text what is none: a URL, `-`, `FORMAT:DEVICE` or a pattern of numbered images."""

Destination = Path | str
"""A path, or as text what is none: a URL or `-`."""

STANDARD_STREAM = "-"
VIDEO_ENDINGS = (
    ".mp4",
    ".m4v",
    ".mov",
    ".mkv",
    ".webm",
    ".avi",
    ".ts",
    ".m2ts",
    ".mts",
    ".mpg",
    ".mpeg",
    ".flv",
    ".3gp",
)

_FILE_SCHEME = "file:"
_DEVICES = ("v4l2", "avfoundation", "dshow", "x11grab", "lavfi")
_LIVE_SCHEMES = ("rtsp", "rtsps", "rtmp", "udp", "rtp")
_NAMED_SCHEMES = ("http", "https", "rtsp", "rtmp", "tcp", "udp")
_TEXT_FORMATS = ("tty", "ansi", "bin", "xbin", "idf", "adf")
_PATIENCE_MICROSECONDS = "10000000"
_OPTIONS = {
    "rtsp": {"rtsp_transport": "tcp", "timeout": _PATIENCE_MICROSECONDS},
    "http": {"rw_timeout": _PATIENCE_MICROSECONDS, "reconnect": "1"},
    "udp": {"timeout": _PATIENCE_MICROSECONDS},
}
# Titles are bytes: what is no UTF-8 is kept as it is, too. PyAV does so from version 19 on, and has the option no more.
METADATA_OPTIONS: dict[str, Any] = (
    {} if int(av.__version__.split(".")[0]) >= 19 else {"metadata_errors": "surrogateescape"}
)
# As FFmpeg's command has it: a track that begins in a later part of an MPEG-TS is known, too.
_DEMUXER_OPTIONS = {"scan_all_pmts": "1"}
_PATTERN_LETTERS = "*?["
_MP4 = "mov,mp4,m4a,3gp,3g2,mj2"


def parse_source(text: str) -> Source:
    """Return what a user named; a file that is there goes before anything else that its name may mean."""
    if text == STANDARD_STREAM:
        return text
    path = _path_of(text)
    is_other = "://" in text or _device_of(text) or is_numbered(text)
    return text if is_other and not (exists(path) or text.startswith(_FILE_SCHEME)) else path


def parse_destination(text: str) -> Destination:
    """Return where a user wants the result."""
    path = _path_of(text)
    if text == STANDARD_STREAM:
        return text
    return text if scheme_of(text) not in ("", "file") and not exists(path) else path


def _path_of(text: str) -> Path:
    """Return the file of a name or of a `file:` address, which FFmpeg takes as it stands."""
    return Path(text) if exists(Path(text)) else Path(text.removeprefix(_FILE_SCHEME))


def is_live(source: Source) -> bool:
    """Tell whether a source goes on by itself, whether it is read or not."""
    return isinstance(source, str) and (scheme_of(source) in _LIVE_SCHEMES or _device_of(source) not in ("", "lavfi"))


def stem_of(source: Source) -> str:
    """Return a name for what is made of a source."""
    if isinstance(source, Path):
        return source.name if is_folder(source) else source.stem
    if source == STANDARD_STREAM:
        return "stdin"
    return Path(source.split("?")[0]).stem.split("%")[0].strip("_-.:=") or "video"


def expand(sources: Sequence[Source], *, streams: bool) -> list[Source]:
    """Replace patterns by the files that they match and, where videos are streamed, folders by their videos.

    Raises:
        InputError: a pattern or a folder gives nothing.
    """
    return [found for source in sources for found in _expand_one(source, streams)]


def _expand_one(source: Source, streams: bool) -> list[Source]:
    if not isinstance(source, Path):
        return [source]
    if is_folder(source):
        return _videos_of(source) if streams else [source]
    if exists(source) or not any(letter in str(source) for letter in _PATTERN_LETTERS):
        return [source]
    root = Path(source.anchor) if source.anchor else Path()
    try:
        found: list[Source] = sorted(
            path for path in root.glob(str(source.relative_to(root))) if not (streams and is_folder(path))
        )
    except (OSError, ValueError) as error:
        raise InputError(f"{source} cannot be looked up: {reason_of(error)}.", "Check the pattern.") from None
    if not found:
        raise InputError(f"{source} matches no file.", "Check the pattern.")
    return found


def _videos_of(folder: Path) -> list[Source]:
    with reading(folder):
        videos: list[Source] = sorted(
            path for path in folder.iterdir() if path.suffix.lower() in VIDEO_ENDINGS and not is_folder(path)
        )
    if not videos:
        raise InputError(f"{folder} is a folder without videos.", "Leave out -sv for images.")
    return videos


def open_input(source: Source) -> InputContainer:
    """Open a source; raises InputError."""
    try:
        if isinstance(source, Path):
            _check_file(source)
        container = _open(source)
    except av.error.ProtocolNotFoundError:
        known = ", ".join(f"{scheme}://" for scheme in _NAMED_SCHEMES)
        raise InputError(f"Cannot read {source}: this kind of address is unknown.", f"Choose one of {known}.") from None
    except (av.error.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "its format is unknown"
        raise InputError(f"Cannot read {source}: {reason}.", _advice_on(source, error)) from None
    if container.format.name in _TEXT_FORMATS:
        container.close()
        raise InputError(f"{source} is a text, not a video.")
    return container


def _advice_on(source: Source, error: Exception) -> str:
    if isinstance(source, Path):
        return advice_on_input(error)
    if source == STANDARD_STREAM:
        return "Check what is written into it."
    return "Check its name, and that it is there."


def damage_of(source: Source, container: InputContainer, num_frames: int, error: av.error.FFmpegError) -> InputError:
    """Return what it means that a source could not be read further."""
    if not num_frames and container.format.name == _MP4 and not _can_go_back(source):
        return InputError(
            f"{source} gave no frame: the index of this MP4 stands at its end, and this source cannot go back.",
            "Give the file itself, by its name or as in `segclient -sv - < clip.mp4`, "
            "or put the index first: `ffmpeg -i clip.mp4 -c copy -movflags +faststart first.mp4`.",
        )
    return InputError(f"{source} is damaged after frame {num_frames}: {error.strerror}.")


def _can_go_back(source: Source) -> bool:
    if isinstance(source, Path):
        return not is_stream(source)
    return source == STANDARD_STREAM and standard_input().seekable()


def _check_file(path: Path) -> None:
    found = path.stat()
    if stat.S_ISDIR(found.st_mode):
        raise InputError(f"{path} is a folder, not a video.", "Name a file, or leave out -sv for images.")
    if stat.S_ISREG(found.st_mode) and found.st_size == 0:
        raise InputError(f"{path} is empty.")


def _open(source: Source) -> InputContainer:
    opened = partial(av.open, mode="r", **METADATA_OPTIONS)
    if isinstance(source, Path):
        # Its name may have a colon, or look like a pattern of images.
        return opened(f"file:{source}", options=_DEMUXER_OPTIONS | {"pattern_type": "none"})
    if source == STANDARD_STREAM:
        return opened(standard_input(), options=_DEMUXER_OPTIONS)
    if device := _device_of(source):
        return opened(source.split(":", 1)[1], format=device)
    if "://" not in source:
        return opened(f"file:{as_ffmpeg_pattern(source)}", format="image2")
    return opened(source, options=_DEMUXER_OPTIONS | dict(_options_of(scheme_of(source))))


def _options_of(scheme: str) -> Iterator[tuple[str, str]]:
    for prefix, options in _OPTIONS.items():
        if scheme.startswith(prefix):
            yield from options.items()


def scheme_of(source: str) -> str:
    """Return the scheme of a URL, "" for what is none."""
    return source.split("://", 1)[0].lower() if "://" in source else ""


def _device_of(source: str) -> str:
    prefix = source.split(":", 1)[0] if ":" in source and "://" not in source else ""
    return prefix if prefix in _DEVICES else ""
