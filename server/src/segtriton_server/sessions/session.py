"""One client's run: its ledger, its credit and its way back, behind one lock."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Sequence

from segtriton_protocol import (
    AnswerId,
    Drop,
    DropReason,
    Ended,
    ErrorCode,
    Failed,
    Migrate,
    Opened,
    SegtritonError,
    ServerMessage,
)
from segtriton_protocol.packets import KEYFRAME, PacketBlock
from segtriton_protocol.server_messages import PackedOutput
from segtriton_server.observability.logs import session_log
from segtriton_server.observability.metrics import Metrics
from segtriton_server.sessions.answers import Answers
from segtriton_server.sessions.credit_window import CreditWindow
from segtriton_server.sessions.dialects import Responder
from segtriton_server.sessions.ledger import Ledger
from segtriton_server.sessions.stage_times import StageTimes

# Each number skipped costs a drop record and no credit, so that a single message must not skip any number of them.
_MAX_SKIPPED = 10_000
_SILENT_SECONDS = 0.25
_HAND_ON_SECONDS = 60.0
_NO_PACKETS = PacketBlock.pack(())


class Session:
    """An admitted session. Any thread may call; a lock keeps books and responses in step.

    `on_closed` is called once, whatever ends the session; `tenant` is who opened it, and may use it. `on_pause` is
    called with the id and True when the work must wait for the client to read, with False when it may go on.
    """

    def __init__(
        self,
        session_id: str,
        tenant: str,
        answers: Answers,
        ledger: Ledger,
        window: CreditWindow,
        metrics: Metrics,
        on_closed: Callable[[Session], None],
        on_pause: Callable[[str, bool], None],
    ) -> None:
        self.session_id = session_id
        self.tenant = tenant
        self.ledger = ledger
        self.window = window
        self.stage_times = StageTimes()
        self.error: SegtritonError | None = None
        self.effects: tuple[str, ...] = ()
        self.is_open = False
        self.was_asked_to_migrate = False
        self.last_activity = self._last_heard = time.monotonic()
        self._answers = answers
        self._metrics = metrics
        self._observe_latency = metrics.observer("segtriton_frame_latency_seconds")
        self._count_out = metrics.counter("segtriton_frames_total", outcome="out")
        self._on_closed = on_closed
        self._on_pause = on_pause
        self._is_paused = False
        self._digest = hashlib.sha256()
        self._lock = threading.RLock()
        self._end_seq: int | None = None
        self._closed = False

    def opened(self, message: Opened) -> None:
        """Tell the client that its session exists."""
        with self._lock:
            if not self._closed:
                self.is_open = True
                self._send(message)

    def offer(self, responder: Responder) -> bool:
        """Take a further request of the client's for answers; False where it is of no use and must be ended."""
        with self._lock:
            return not self._closed and self._answers.offer(responder)

    def mark_read(self, received: int, acknowledged: AnswerId | None) -> None:
        """Note what the client says to have read.

        Raises:
            SegtritonError: INVALID_MESSAGE (more than was sent) or SLOW_CONSUMER.
        """
        with self._lock:
            if not self._closed and self._answers.mark_read(received, acknowledged):
                self.last_activity = time.monotonic()
                self._pause_or_go_on()

    def accept(self, block: PacketBlock) -> PacketBlock:
        """Book packets in and return those to be worked on; none where the session has closed meanwhile.

        Raises:
            SegtritonError: WINDOW_EXCEEDED, NEED_KEYFRAME, INVALID_PACKET (too many numbers skipped) or
                INVALID_MESSAGE (packets after END).
        """
        now = time.monotonic()
        taken: list[int] = []
        drops: list[Drop] = []
        ledger = self.ledger
        with self._lock:
            if self._closed:
                return _NO_PACKETS
            self._last_heard = now
            if self._end_seq is not None:
                raise self._refusal(ErrorCode.INVALID_MESSAGE, "Packets came after END.")
            for position, (seq, size, _, _, _, flags) in enumerate(block.rows):
                self.window.check(ledger, seq, size)
                if not ledger.received_packets and not flags & KEYFRAME:
                    raise self._refusal(ErrorCode.NEED_KEYFRAME, "The first packet is not a keyframe.", seq)
                if len(drops) + seq - ledger.next_seq > _MAX_SKIPPED:
                    raise self._refusal(ErrorCode.INVALID_PACKET, f"More than {_MAX_SKIPPED} numbers are skipped.", seq)
                is_new, missing = ledger.accept(seq, size, now)
                drops += missing
                if is_new:
                    taken.append(position)
            if taken:
                self.last_activity = now
            if drops:
                self._deliver(_NO_PACKETS, drops)
        return block if len(taken) == len(block) else block.select(taken)

    def end(self, next_seq: int | None) -> bool:
        """Note that nothing follows; returns whether this is the first END of a session that has not closed.

        Raises:
            SegtritonError: INVALID_MESSAGE (too many numbers skipped).
        """
        with self._lock:
            if self._closed or self._end_seq is not None:
                return False
            if next_seq is not None and next_seq - self.ledger.next_seq > _MAX_SKIPPED:
                raise self._refusal(ErrorCode.INVALID_MESSAGE, f"END skips more than {_MAX_SKIPPED} numbers.")
            self._end_seq = self.ledger.next_seq if next_seq is None else next_seq
            self._pause_or_go_on()
            return True

    def deliver(
        self, block: PacketBlock, skipped: Sequence[int] = (), dropped: Sequence[Drop] = (), damaged: int = 0
    ) -> None:
        """Send what a worker has finished, as far as the ledger lets it."""
        with self._lock:
            if self._closed:
                return
            now, ledger = time.monotonic(), self.ledger
            settled = ledger.settled_packets
            ledger.note_damage(damaged)
            for seq in skipped:
                ledger.settle_output(seq)
            done = []
            for position, row in enumerate(block.rows):
                arrived = ledger.settle_output(row[0])
                if arrived is not None:
                    done.append(position)
                    self._observe_latency(now - arrived)
            drops = [record for drop in dropped for record in ledger.settle_drop(drop.seq, drop.reason)]
            drops += ledger.drop_overdue()
            self._deliver(block if len(done) == len(block) else block.select(done), drops)
            if ledger.settled_packets > settled:
                self.last_activity = now
            self._pause_or_go_on()
            self._hand_on_if_full()

    def finish(self, notes: Sequence[str] = (), frames_without_class: int | None = None) -> None:
        """Answer END: the last drop records, then the counts and the digest."""
        with self._lock:
            if self._closed:
                return
            drops = self.ledger.finish(self._end_seq or 0)
            if drops:
                self._deliver(_NO_PACKETS, drops)
            if self.ledger.frames_in and not self.ledger.frames_out and self.ledger.dropped[DropReason.DAMAGED]:
                self.fail(ErrorCode.DECODE_FAILED, "None of the packets could be decoded.")
                return
            self._send(
                Ended(
                    frames_in=self.ledger.frames_in,
                    frames_out=self.ledger.frames_out,
                    frames_dropped=self.ledger.dropped_by_reason(),
                    digest=self._digest.hexdigest(),
                    stages=self.stage_times.means_ms(),
                    notes=tuple(notes),
                    frames_without_class=frames_without_class,
                )
            )
            self._close()

    def fail(self, code: ErrorCode, message: str, seq: int | None = None) -> None:
        """End the session with an error."""
        self.fail_with(self._refusal(code, message, seq))

    def fail_with(self, error: SegtritonError) -> None:
        """End the session with an error; frames not yet answered are booked as abandoned."""
        with self._lock:
            if self._closed:
                return
            self.error = error
            error.session_id = self.session_id
            drops = self.ledger.finish(self.ledger.next_seq, DropReason.ABANDONED)
            if self.is_open:
                self._metrics.add("segtriton_sessions_failed_total", code=error.code.name)
            else:
                self._metrics.add("segtriton_streams_rejected_total", reason=error.code.name)
            if self.is_open or drops:
                self._deliver(_NO_PACKETS, drops)
            self._send(Failed(error))
            self._close()

    @property
    def may_migrate(self) -> bool:
        """Whether to ask the client to go on elsewhere: it would understand, and was not asked before."""
        return self._answers.knows_migrate and self.is_open and not self._closed and not self.was_asked_to_migrate

    def ask_to_migrate(self, within_seconds: float) -> None:
        """Tell the client, once, that it should go on elsewhere; one that speaks the sample's contract is not told."""
        with self._lock:
            if self.may_migrate:
                self.was_asked_to_migrate = True
                self._send(Migrate(within_seconds))

    def is_cancelled(self, now: float) -> bool:
        """Whether the client has gone; False once the session has closed.

        Triton is asked only about those who have been silent for a moment: it takes as long as to send a frame.
        """
        with self._lock:
            is_silent = now - self._last_heard > _SILENT_SECONDS
            return is_silent and not self._closed and self._answers.is_cancelled()

    def is_idle(self, now: float, timeout: float) -> bool:
        """Whether no new packet has come and none was answered for `timeout` seconds; a mere message is no progress."""
        return now - self.last_activity > timeout

    def _deliver(self, block: PacketBlock, drops: Sequence[Drop]) -> None:
        num_packets, num_bytes = len(block), len(block.payload)
        if num_packets:
            self._digest.update(block.payload)
            self._count_out(num_packets)
        for drop in drops:
            self._metrics.add("segtriton_frames_total", outcome=drop.reason.value)
        self._send(PackedOutput(block, drops, self.window.credit(self.ledger)), num_packets + len(drops), num_bytes)

    def _send(self, message: ServerMessage, num_answers: int = 0, num_bytes: int = 0) -> None:
        """Send one message; where Triton takes none, as with full shared memory, this session ends and no other."""
        if self._closed:
            return
        try:
            self._answers.send(message, num_answers, num_bytes)
        except Exception:  # noqa: BLE001 - nobody knows what Triton's sender raises
            session_log(__name__, self.session_id).exception("a response could not be sent")
            self._break_off()

    def _break_off(self) -> None:
        """End the session without an answer that is sure to arrive: a part of its answers is lost."""
        for drop in self.ledger.finish(self.ledger.next_seq, DropReason.ABANDONED):
            self._metrics.add("segtriton_frames_total", outcome=drop.reason.value)
        if self.error is None:
            self.error = self._refusal(ErrorCode.RESOURCE_EXHAUSTED, "The server could not send an answer.")
            self._metrics.add("segtriton_sessions_failed_total", code=self.error.code.name)
        self._answers.abandon(Failed(self.error))
        self._close()

    def _pause_or_go_on(self) -> None:
        is_full = self._answers.is_full(is_paused=self._is_paused, is_ending=self._end_seq is not None)
        if is_full != self._is_paused:
            self._is_paused = is_full
            self._on_pause(self.session_id, is_full)

    def _hand_on_if_full(self) -> None:
        if self._answers.must_end:
            self.fail(ErrorCode.RESOURCE_EXHAUSTED, "The session has got back more than one request can hold.")
        elif self._answers.should_migrate:
            self.ask_to_migrate(_HAND_ON_SECONDS)

    def _close(self) -> None:
        if not self._closed:
            self._closed = True
            self._on_closed(self)

    def _refusal(self, code: ErrorCode, message: str, seq: int | None = None) -> SegtritonError:
        return SegtritonError(code, message, session_id=self.session_id, seq=seq)
