"""Standard input, output and error, each of which may be closed, full, or a terminal that has hung up."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import BinaryIO

import click

from segtriton_client.errors import InputError, OutputError
from segtriton_client.system_errors import writing


def reserve_numbers() -> None:
    """Open what is closed to nowhere: else the next file gets its number, and libraries write their words into it."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free


def standard_input() -> BinaryIO:
    """Return where the bytes of standard input come from; raises InputError."""
    if sys.stdin is None:
        raise InputError("Standard input is closed.", "Give a file, or a program that writes into it.")
    return sys.stdin.buffer


def standard_output() -> BinaryIO:
    """Return where bytes for standard output go; raises OutputError."""
    if sys.stdout is None:
        raise OutputError("Standard output is closed.", "Give a file with -o, or a program that reads it.")
    return sys.stdout.buffer


def say(text: str) -> None:
    """Write one line to standard error; a run does not end because nobody can read what it says."""
    with contextlib.suppress(OSError):
        click.echo(" ".join(text.split()), err=True)


def flush_output() -> None:
    """Write what standard output still holds, now and not when the interpreter ends; raises OutputError."""
    if sys.stdout is None:
        return
    with writing("standard output", "Look at the program or the disk that takes it."):
        try:
            sys.stdout.flush()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            raise
