"""Several outputs of one pass, as one output; and files of which each gets a part of each packet."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar

import av

from segtriton_client.carried import copy_packet
from segtriton_client.muxer import Muxer, OutputFile
from segtriton_protocol import Packet
from segtriton_protocol.frame_parts import split_parts


class Output(Protocol):
    """One output of a pass."""

    notes: list[str]

    def __enter__(self) -> object: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def write_carried(self, packet: av.Packet[Any]) -> None:
        """Add a packet of another track."""

    def commit(self) -> None:
        """Give the output its name."""


_Output = TypeVar("_Output", bound=Output)
_Self = TypeVar("_Self", bound="SeveralOutputs[Any]")


class SeveralOutputs(Generic[_Output]):
    """The outputs of a run, as one.

    Attributes:
        outputs: in the order in which they were asked for.
    """

    def __init__(self, outputs: Sequence[_Output]) -> None:
        """Take the outputs, open."""
        self.outputs = outputs
        self._stack = ExitStack()

    @property
    def notes(self) -> list[str]:
        """What the outputs could not take, each one sentence."""
        return [note for output in self.outputs for note in output.notes]

    def __enter__(self: _Self) -> _Self:
        for output in self.outputs:
            self._stack.enter_context(output)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def write_carried(self, found: av.Packet[Any]) -> None:
        """Write a packet of another track into each output."""
        for output in self.outputs[1:]:
            output.write_carried(copy_packet(found))
        self.outputs[0].write_carried(found)

    def commit(self) -> None:
        """Give all outputs their names."""
        for output in self.outputs:
            output.commit()


class SeveralFiles(SeveralOutputs[OutputFile]):
    """Files that the service codes."""


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
