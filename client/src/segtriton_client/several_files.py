"""Several effects of one pass, drawn and coded by the service: a file for each, from the parts of each packet."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from types import TracebackType
from typing import Any

import av

from segtriton_client.carried import copy_packet
from segtriton_client.muxer import Muxer, OutputFile
from segtriton_protocol import Packet
from segtriton_protocol.frame_parts import split_parts


class SeveralFiles:
    """The files of a run, as one output."""

    def __init__(self, files: Sequence[OutputFile]) -> None:
        """Take the files, open."""
        self.files = files
        self._stack = ExitStack()

    @property
    def notes(self) -> list[str]:
        """What the outputs could not take, each one sentence."""
        return [note for file in self.files for note in file.notes]

    def __enter__(self) -> SeveralFiles:
        for file in self.files:
            self._stack.enter_context(file)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def write_carried(self, found: av.Packet[Any]) -> None:
        """Write a packet of another track into each file."""
        for file in self.files[1:]:
            file.write_carried(copy_packet(found))
        self.files[0].write_carried(found)

    def commit(self) -> None:
        """Give all files their names."""
        for file in self.files:
            file.commit()


class SeveralMuxers:
    """Writes each part of a packet into its own file."""

    def __init__(self, muxers: Sequence[Muxer]) -> None:
        """Take them in the order of the parts."""
        self._muxers = muxers

    def write(self, packet: Packet) -> None:
        """Write one finished frame; raises INVALID_PACKET if it has not as many parts as there are files."""
        parts = split_parts(packet.payload, len(self._muxers))
        for muxer, part in zip(self._muxers, parts, strict=True):
            muxer.write(replace(packet, payload=part.payload, is_keyframe=part.is_keyframe))

    def finish(self) -> None:
        """Say what was done to the frames' times."""
        for muxer in self._muxers:
            muxer.finish()
