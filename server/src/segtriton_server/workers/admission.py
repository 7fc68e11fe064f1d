"""Which decoded frames of a session go on to the network."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from segtriton_protocol import Drop, DropReason, Packet, VideoFormat
from segtriton_protocol.packets import MAX_SEQ
from segtriton_server.encoders.encoder import FrameTag
from segtriton_server.media.decoder import FrameGroup
from segtriton_server.media.hidden_packets import HiddenPackets
from segtriton_server.workers.results import Results

# After so many frames, the strongest smoothing has forgotten four fifths of a mask and the default one all of it.
WARM_UP_FRAMES = 32
# No decoder gives a picture so many packets after the one that it was coded in.
_FORGET_AFTER = 64


class Admission:
    """Remembers the packets that went into the decoder and judges by them the frames that come out."""

    def __init__(self, video: VideoFormat, wanted_seq: int, answered_seqs: Iterable[int] = ()) -> None:
        """Frames before `wanted_seq` or in `answered_seqs` stay here."""
        self._num_left_out = 0
        self._hidden_packets = HiddenPackets(video)
        self._wanted_seq = wanted_seq
        self._answered_seqs = frozenset(answered_seqs)
        self._tags: dict[int, FrameTag] = {}
        self._hidden: set[int] = set()
        self._restarts: set[int] = set()
        self._was_keyframe = False
        self._newest: FrameTag | None = None
        self._first: FrameTag | None = None
        self._is_starting = True

    @property
    def notes(self) -> tuple[str, ...]:
        """What the decoder could not begin with, in one sentence; none where that was another session's."""
        count = 0 if self._wanted_seq else self._num_left_out + self._hidden_packets.num_leading
        return (f"{count} frames at the beginning refer to frames before it; they cannot be shown.",) if count else ()

    def expect(self, packet: Packet, results: Results) -> None:
        """Take note of a packet that goes into the decoder; those that can give no frame any more are booked.

        A decoder that refuses everything gives no frames by which the router could tell, and no credit would come back.
        """
        overdue = self._forget_before(packet.seq - _FORGET_AFTER)
        results.drops += [Drop(seq, DropReason.NO_FRAME) for seq in overdue]
        # Where all are keyframes, none is where a resumed session would begin rather than another.
        if packet.is_keyframe and not self._was_keyframe:
            self._restarts.add(packet.seq)
        self._was_keyframe = packet.is_keyframe
        if self._hidden_packets.is_hidden(packet):
            results.drops.append(Drop(packet.seq, DropReason.HIDDEN))
            return
        self._tags[packet.seq] = FrameTag(packet.seq, packet.pts, packet.duration)
        if packet.is_hidden:
            self._hidden.add(packet.seq)

    def note_damage(self) -> None:
        """Take note that the decoder refused a packet: what gives no picture from here on may be lost by that."""
        self._is_starting = False

    def admit(self, group: FrameGroup, results: Results) -> tuple[FrameGroup, tuple[FrameTag, ...]] | None:
        """Return the frames that go on and their tags, None if none does; the others are booked in `results`."""
        judged = [self._judge(seq, results) for seq in group.seqs]
        self._forget_before(max(group.seqs) - _FORGET_AFTER)
        tags = tuple(replace(tag, is_damaged=tag.seq in group.damaged) for tag in judged if tag is not None)
        if not tags:
            return None
        return group.select([position for position, tag in enumerate(judged) if tag is not None]), tags

    def replayed(self, group: FrameGroup, most: int = MAX_SEQ) -> FrameGroup | None:
        """Return the frames that stay here as another session has answered them, of the last so many; before `admit`.

        What follows from earlier frames is then after a resume what it would have been without. They are shown before
        all others, as a session answers in the order in which frames are shown.
        """
        positions = [at for at, seq in enumerate(group.seqs) if self._is_replayed(seq, most)]
        return group.select(positions) if positions else None

    def restarts(self, group: FrameGroup) -> bool:
        """Whether a keyframe is among the frames: a resumed session begins with one, so nothing may reach beyond it."""
        return not self._restarts.isdisjoint(group.seqs)

    def _is_replayed(self, seq: int, most: int) -> bool:
        is_recent = self._wanted_seq - most <= seq < self._wanted_seq or seq in self._answered_seqs
        return is_recent and seq in self._tags and seq not in self._hidden

    def _judge(self, seq: int, results: Results) -> FrameTag | None:
        tag, is_hidden = self._take(seq)
        if tag is None:  # a second picture of one packet has no number of its own
            return None
        if self._is_starting:
            self._begin_with(tag, results)
        if self._was_answered(seq):  # it was decoded only for those after it
            results.skipped.append(seq)
            return None
        if is_hidden:
            results.drops.append(Drop(seq, DropReason.HIDDEN))
            return None
        if self._is_overtaken(tag):
            results.drops.append(Drop(seq, DropReason.DAMAGED))
            return None
        self._newest = tag
        return tag

    def _was_answered(self, seq: int) -> bool:
        return seq < self._wanted_seq or seq in self._answered_seqs

    def _begin_with(self, tag: FrameTag, results: Results) -> None:
        """Book with the second picture what the decoder has left out before the first.

        Pictures that are sent after a keyframe and shown before it refer to what came before it, as do those before
        the recovery point of a gradual refresh: no decoder shows them.
        """
        first, self._first = self._first, tag
        if first is None:
            return
        self._is_starting = False
        left_out = [seq for seq, waiting in self._tags.items() if seq < tag.seq and _is_earlier(waiting, first)]
        for seq in left_out:
            self._take(seq)
        results.drops += [Drop(seq, DropReason.HIDDEN) for seq in left_out]
        self._num_left_out = len(left_out)

    def _is_overtaken(self, tag: FrameTag) -> bool:
        """Whether a picture that is shown later, and was sent later, has come out before this one.

        Where a keyframe is lost, libavcodec sorts pictures of two groups as if they were one. Timestamps that go back
        with a packet that was sent later are the input's own, and stay.
        """
        newest = self._newest
        if newest is None or newest.pts is None or tag.pts is None:
            return False
        return tag.pts <= newest.pts and tag.seq < newest.seq

    def _take(self, seq: int) -> tuple[FrameTag | None, bool]:
        is_hidden = seq in self._hidden
        self._hidden.discard(seq)
        return self._tags.pop(seq, None), is_hidden

    def _forget_before(self, limit: int) -> list[int]:
        forgotten = [seq for seq in self._tags if seq < limit]
        for seq in forgotten:
            self._take(seq)
        self._restarts = {seq for seq in self._restarts if seq >= limit}
        return forgotten


def _is_earlier(tag: FrameTag, other: FrameTag) -> bool:
    return tag.pts is not None and other.pts is not None and tag.pts < other.pts
