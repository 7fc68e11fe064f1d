"""Where videos come from: files, folders, URLs, standard input, cameras and numbered images."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import av.error
from av.container import InputContainer

from segtriton_client.errors import InputError

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
# As FFmpeg's command has it: a track that begins in a later part of an MPEG-TS is known, too.
_DEMUXER_OPTIONS = {"scan_all_pmts": "1"}
_PATTERN_LETTERS = "*?["
_MP4 = "mov,mp4,m4a,3gp,3g2,mj2"


def parse_source(text: str) -> Source:
    """Return what a user named."""
    if text == STANDARD_STREAM or "://" in text or _device_of(text) or "%" in text:
        return text
    return Path(text)


def parse_destination(text: str) -> Destination:
    """Return where a user wants the result."""
    return text if text == STANDARD_STREAM or scheme_of(text) else Path(text)


def is_live(source: Source) -> bool:
    """Tell whether a source goes on by itself, whether it is read or not."""
    return isinstance(source, str) and (scheme_of(source) in _LIVE_SCHEMES or _device_of(source) not in ("", "lavfi"))


def stem_of(source: Source) -> str:
    """Return a name for what is made of a source."""
    if isinstance(source, Path):
        return source.name if source.is_dir() else source.stem
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
    if not isinstance(source, Path) or source.is_file():
        return [source]
    if source.is_dir():
        return _videos_of(source) if streams else [source]
    if not any(letter in str(source) for letter in _PATTERN_LETTERS):
        return [source]
    root = Path(source.anchor) if source.anchor else Path()
    found: list[Source] = sorted(root.glob(str(source.relative_to(root))))
    if not found:
        raise InputError(f"{source} matches no file.", "Check the pattern.")
    return found


def _videos_of(folder: Path) -> list[Source]:
    videos: list[Source] = sorted(path for path in folder.iterdir() if path.suffix.lower() in VIDEO_ENDINGS)
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
        raise InputError(f"Cannot read {source}: {reason}.", _advice_on(source)) from None
    if container.format.name in _TEXT_FORMATS:
        container.close()
        raise InputError(f"{source} is a text, not a video.")
    return container


def _advice_on(source: Source) -> str:
    if isinstance(source, Path):
        return "" if source.exists() else "Check its name."
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
    return isinstance(source, Path) or (source == STANDARD_STREAM and sys.stdin.seekable())


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise InputError(f"{path} is a folder, not a video.", "Name a file, or leave out -sv for images.")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty.")


def _open(source: Source) -> InputContainer:
    if isinstance(source, Path):
        return av.open(f"file:{source}", "r", options=_DEMUXER_OPTIONS)  # its name may have a colon
    if source == STANDARD_STREAM:
        return av.open(sys.stdin.buffer, "r", options=_DEMUXER_OPTIONS)
    if device := _device_of(source):
        return av.open(source.split(":", 1)[1], "r", format=device)
    if "://" not in source:
        return av.open(source, "r", format="image2")
    return av.open(source, "r", options=_DEMUXER_OPTIONS | dict(_options_of(scheme_of(source))))


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
