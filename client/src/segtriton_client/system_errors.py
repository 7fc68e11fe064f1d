"""Failures of the operating system and of FFmpeg, told as the client's own."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import av.error

from segtriton_client.errors import ClientError, InputError, OutputError

_log = logging.getLogger(__name__)


def reason_of(error: Exception) -> str:
    """Return what was wrong, without a full stop."""
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).rstrip(".")


def advice_on_input(error: Exception) -> str:
    """Return what to do about an input, "" where nothing better is known than to look at it with a player."""
    if isinstance(error, FileNotFoundError):
        return "Check its name."
    if isinstance(error, PermissionError):
        return "Check who may read it."
    is_systems = isinstance(error, OSError) and not isinstance(error, av.error.FFmpegError)
    return "Check its name, and the disk that it is on." if is_systems else ""


def advice_on_output(error: Exception) -> str:
    """Return what to do about an output, "" where another place is all that helps."""
    is_full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
    return "Make room on the disk, or choose another." if is_full else ""


@contextmanager
def reading(what: object, advice: str = "") -> Iterator[None]:
    """Raise InputError for what goes wrong while something is read."""
    try:
        yield
    except (OSError, av.error.FFmpegError) as error:
        if isinstance(error, ClientError):
            raise
        raise InputError(f"Cannot read {what}: {reason_of(error)}.", advice or advice_on_input(error)) from None


@contextmanager
def writing(what: object, advice: str = "") -> Iterator[None]:
    """Raise OutputError for what goes wrong while something is written."""
    try:
        yield
    except (OSError, av.error.FFmpegError) as error:
        if isinstance(error, ClientError):
            raise
        raise OutputError(f"Cannot write {what}: {reason_of(error)}.", advice or advice_on_output(error)) from None


def told_as_ours(error: OSError | av.error.FFmpegError, source: object = None) -> ClientError:
    """Return the client's error for one that nobody expected: the input's if it names `source`, else the output's."""
    _log.debug("Nobody expected this.", exc_info=error)
    name = str(error.filename or source or "").removeprefix("file:")
    kind = InputError if error.filename and name == str(source) else OutputError
    return kind(f"{name and f'{name}: '}{reason_of(error)}.", "Check the file, its folder and its disk.")
