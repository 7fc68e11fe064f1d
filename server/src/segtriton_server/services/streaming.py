"""The streamed service: requests in, sessions, workers, responses out. It never decodes."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segtriton_protocol import (
    Acknowledge,
    Cancel,
    ClientMessage,
    Describe,
    Described,
    End,
    ErrorCode,
    Failed,
    Open,
    Opened,
    SegtritonError,
    new_session_id,
)
from segtriton_protocol.client_messages import PackedPackets
from segtriton_protocol.messages import parse_packed_request
from segtriton_protocol.packets import PacketBlock
from segtriton_protocol.tensors import PARAMETER_PROTOCOL, PARAMETER_SESSION, Tensors
from segtriton_server.observability.logs import session_log
from segtriton_server.observability.metrics import Metrics
from segtriton_server.services.failing_alone import FailingAlone
from segtriton_server.services.handled_requests import HandledRequests
from segtriton_server.services.heartbeat import Heartbeat
from segtriton_server.services.message_cost import ASSUMED_MESSAGES_PER_SECOND, MessageCost
from segtriton_server.services.model_repository import find_networks
from segtriton_server.services.reaper import Reaper
from segtriton_server.services.sample_requests import read_sample_request
from segtriton_server.sessions.answers import AcknowledgedAnswers, AnswerLimits, Answers, OpenRequestAnswers
from segtriton_server.sessions.credit_window import CreditWindow
from segtriton_server.sessions.dialects import (
    Dialect,
    ProtocolDialect,
    Responder,
    SampleDialect,
    internal_error,
)
from segtriton_server.sessions.ledger import Ledger
from segtriton_server.sessions.live_load import LiveLoad
from segtriton_server.sessions.session import Session
from segtriton_server.sessions.session_table import SessionTable
from segtriton_server.settings import Settings
from segtriton_server.version import SERVER
from segtriton_server.workers.channel import STAGES, ChannelMessage, SessionResults
from segtriton_server.workers.worker_pool import WorkerPool

_LOG = logging.getLogger(__name__)
_SAMPLE_WINDOW_PACKETS = 1_000_000
_UNREADABLE = (ErrorCode.INVALID_MESSAGE, ErrorCode.INVALID_PACKET)


class StreamingService:
    """What the streaming models do with a request. Calls of `handle` come from one thread."""

    def __init__(self, settings: Settings, metrics: Metrics, repository: Path | None = None) -> None:
        """Start the workers and wait until they are ready; raises RuntimeError if they are not.

        `repository` is the folder with the models beside this one.
        """
        self._settings = settings
        self._repository = repository
        self._metrics = metrics
        self._sessions = SessionTable(settings.stream_slots, settings.tenant_slots, settings.tenant_opens_per_minute)
        self._live_load = LiveLoad(settings.live_messages_per_second or ASSUMED_MESSAGES_PER_SECOND)
        self._message_cost = MessageCost(self._live_load)
        self._pool = WorkerPool(
            settings,
            on_message=self._on_worker_message,
            on_lost=self._on_worker_lost,
            on_restart=lambda: metrics.add("segtriton_worker_restarts_total"),
        )
        self._handled = HandledRequests()
        self._observe_batch = metrics.observer("segtriton_batch_frames")
        self._observe_stage = {
            stage: metrics.observer("segtriton_stage_duration_seconds", stage=stage) for stage in STAGES
        }
        metrics.set("segtriton_stream_slots", settings.stream_slots)
        for counter in ("segtriton_worker_restarts_total", "segtriton_housekeeping_failures_total"):
            metrics.add(counter, 0)
        # Those that alerts wait for: Prometheus does not see a counter grow that begins with 1.
        for code in (ErrorCode.RESOURCE_EXHAUSTED, ErrorCode.DRAINING):
            metrics.add("segtriton_streams_rejected_total", 0, reason=code.name)
        for code in (ErrorCode.INTERNAL, ErrorCode.WORKER_LOST, ErrorCode.STAGE_TIMEOUT):
            metrics.add("segtriton_sessions_failed_total", 0, code=code.name)
        metrics.flush()
        self._pool.start()
        self._heartbeat = Heartbeat(settings.heartbeat_file, settings.stage_deadline, metrics)
        measures = () if settings.live_messages_per_second else (self._message_cost.look,)
        self._reaper = Reaper(settings, self._sessions, metrics, self._heartbeat, self._pool.count_missing, measures)
        self._reaper.start()
        _LOG.info("%s ready: network %s, workers %s", SERVER, settings.network, self._pool.worker_pids())

    def handle(
        self,
        request_id: str,
        parameters: Mapping[str, Any],
        tensors: Tensors,
        responder: Responder,
        tenant: str = "",
    ) -> None:
        """Act on one request of a tenant's; every error becomes an answer."""
        is_sample = PARAMETER_PROTOCOL not in parameters
        dialect: Dialect = SampleDialect() if is_sample else ProtocolDialect()
        self._heartbeat.begin_handling()
        self._message_cost.count()
        try:
            if is_sample:
                self._handle_sample(request_id, tensors, responder, dialect, tenant)
            else:
                self._handle_message(parse_packed_request(parameters, tensors), responder, dialect, tenant)
        except SegtritonError as error:
            if error.code in _UNREADABLE:
                self._give_up(tenant, str(parameters.get(PARAMETER_SESSION, "")), error)
            dialect.send(responder, Failed(error))
        except Exception:  # noqa: BLE001 - whatever it is, the client gets an answer
            _LOG.exception("a request failed")
            self._give_up(tenant, str(parameters.get(PARAMETER_SESSION, "")), internal_error())
            dialect.send(responder, Failed(internal_error()))
        finally:
            self._heartbeat.end_handling()

    def close(self) -> None:
        """End all sessions and workers; Triton would wait for open responders."""
        self._reaper.close()
        for session in self._sessions.all():
            with FailingAlone(session):
                session.fail(ErrorCode.DRAINING, "The server stops.")
        self._pool.close()
        self._handled.close()

    # ---------------------------------------------------------------- requests

    def _give_up(self, tenant: str, session_id: str, error: SegtritonError) -> None:
        """End the session, if there is one, whose message could not be read: what was in it is lost."""
        with contextlib.suppress(SegtritonError):
            self._sessions.get_for(tenant, session_id).fail_with(error)

    def _handle_message(self, message: ClientMessage, responder: Responder, dialect: Dialect, tenant: str) -> None:
        if isinstance(message, Open):
            window = CreditWindow(
                self._settings.window_packets, self._settings.window_bytes, lambda: self._live_load.group_packets
            )
            self._open(message, message.open_key and f"open_key {message.open_key}", window, responder, dialect, tenant)
            return
        if isinstance(message, Describe):
            dialect.send(responder, self._described(), is_final=True)
            return
        session = self._sessions.get_for(tenant, message.session_id)
        if isinstance(message, Cancel):
            session.fail(ErrorCode.CANCELLED, "The client cancelled the session.")
            self._handled.close_soon(responder)
            return
        is_taken = session.offer(responder)
        match message:
            case PackedPackets():
                with FailingAlone(session):
                    session.mark_read(message.received, message.acknowledged)
                    self._put(session, message.block)
            case Acknowledge():
                with FailingAlone(session):
                    session.mark_read(0, message.acknowledged)
            case End():
                with FailingAlone(session):
                    self._end(session, message.next_seq)
        if not is_taken:
            self._handled.close_soon(responder)

    def _handle_sample(
        self, request_id: str, tensors: Tensors, responder: Responder, dialect: Dialect, tenant: str
    ) -> None:
        request = read_sample_request(request_id, tensors)
        key = f"sample {request.video_id}"
        if request.open is not None:
            window = CreditWindow(_SAMPLE_WINDOW_PACKETS, self._settings.sample_window_bytes)
            session = self._open(request.open, key, window, responder, dialect, tenant)
        else:
            session = self._sessions.get_by_key(tenant, key)
        with FailingAlone(session):
            if request.packet is not None:
                self._put(session, PacketBlock.pack([request.packet]))
            if request.is_last:
                self._end(session, None)
        if request.open is None:
            self._handled.close_soon(responder)

    def _open(
        self, request: Open, key: str, window: CreditWindow, responder: Responder, dialect: Dialect, tenant: str
    ) -> Session:
        session = Session(
            new_session_id(),
            tenant,
            self._answers(request, window, responder, dialect),
            Ledger(request.first_seq, request.wanted_seq, request.answered_seqs),
            window,
            self._metrics,
            self._on_session_closed,
            self._pool.pause,
        )
        try:
            if request.network not in ("", self._settings.network):
                raise SegtritonError(
                    ErrorCode.UNKNOWN_NETWORK, f"This model runs {self._settings.network}, not {request.network!r:.40}."
                )
            self._sessions.admit(session, key)
        except SegtritonError as error:
            self._metrics.add("segtriton_streams_rejected_total", reason=error.code.name)
            raise
        session.effects = request.output.effects
        with FailingAlone(session):
            if request.mode == "live":
                self._live_load.add(session.session_id, request.video.frame_rate)
            self._note_load()
            self._pool.open(session.session_id, request)
        return session

    def _answers(self, request: Open, window: CreditWindow, responder: Responder, dialect: Dialect) -> Answers:
        settings = self._settings
        one_request = settings.handover_bytes if dialect.knows_migrate else settings.sample_output_bytes
        limits = AnswerLimits(settings.unacknowledged_bytes, one_request)
        if request.acknowledges:
            return AcknowledgedAnswers(responder, dialect, limits, self._handled.close_soon)
        return OpenRequestAnswers(responder, dialect, limits, window.packets)

    def _put(self, session: Session, block: PacketBlock) -> None:
        if taken := session.accept(block):
            self._pool.put(session.session_id, taken)

    def _end(self, session: Session, next_seq: int | None) -> None:
        if session.end(next_seq):
            self._pool.end(session.session_id)

    # ---------------------------------------------------------------- workers

    def _on_worker_message(self, message: ChannelMessage | SessionResults) -> None:
        if isinstance(message, ChannelMessage) and message.kind == "beat":
            self._observe_batches(message.body)
            return
        try:
            session = self._sessions.get(message.session_id)
        except SegtritonError:
            return  # it closed while this was on its way
        with FailingAlone(session):
            if isinstance(message, SessionResults):
                self._on_results(session, message)
            else:
                self._take_from_worker(session, message)

    def _take_from_worker(self, session: Session, message: ChannelMessage) -> None:
        match message.kind:
            case "opened":
                session.opened(self._opened(session, message.body))
                self._metrics.add("segtriton_streams_opened_total")
                self._metrics.set("segtriton_network_warnings", len(message.body["warnings"]))
                session_log(__name__, session.session_id).info(
                    "opened: decoder %s, encoder %s", message.body["decoder"], message.body["encoder"]
                )
            case "ended":
                self._observe_batches(message.body)
                self._metrics.flush()
                session.finish(message.body["notes"], message.body.get("frames_without_class"))
            case "failed":
                session.fail_with(SegtritonError.from_json(message.body))

    def _observe_batches(self, body: Mapping[str, Any]) -> None:
        for frames in body["batches"]:
            self._observe_batch(frames)

    def _on_results(self, session: Session, results: SessionResults) -> None:
        for stage, (seconds, frames) in results.stages.items():
            self._observe_stage[stage](seconds / frames)
        session.stage_times.add(results.stages)
        session.deliver(results.block, results.skipped, results.drops, results.damaged)

    def _on_worker_lost(self, session_id: str, hung: bool) -> None:
        code, reason = (
            (ErrorCode.STAGE_TIMEOUT, "A stage took too long and was cut.")
            if hung
            else (ErrorCode.WORKER_LOST, "The worker of this session died.")
        )
        with contextlib.suppress(SegtritonError):  # it closed meanwhile
            self._sessions.get(session_id).fail(code, reason)

    # ---------------------------------------------------------------- sessions

    def _on_session_closed(self, session: Session) -> None:
        self._sessions.remove(session)
        self._pool.release(session.session_id)
        self._live_load.remove(session.session_id)
        self._metrics.flush()
        self._note_load()
        ledger = session.ledger
        session_log(__name__, session.session_id).info(
            "closed: %d in, %d out, dropped %s, %s",
            ledger.frames_in,
            ledger.frames_out,
            ledger.dropped_by_reason(),
            session.error.code.name if session.error else "complete",
        )

    def _note_load(self) -> None:
        active = len(self._sessions)
        self._metrics.set("segtriton_active_streams", active)
        self._metrics.set("segtriton_stream_load", active / self._settings.stream_slots)

    def _described(self) -> Described:
        said = self._pool.describe()
        return Described(
            network=self._settings.network,
            classes=tuple(said.get("classes", ())),
            default_class=self._settings.visualization_class_name or said.get("default_class", ""),
            licence=said.get("licence", ""),
            networks=find_networks(self._repository),
        )

    def _opened(self, session: Session, body: Mapping[str, Any]) -> Opened:
        return Opened(
            session_id=session.session_id,
            network=body["network"],
            class_name=body["class_name"],
            classes=tuple(body["classes"]),
            decoder=body["decoder"],
            encoder=body["encoder"],
            encoder_reason=body["encoder_reason"],
            output_codec=body["output_codec"],
            output_extradata=bytes.fromhex(body["output_extradata"]),
            output_width=body["output_width"],
            output_height=body["output_height"],
            credit=session.window.credit(session.ledger),
            server=SERVER,
            pod=self._settings.pod or os.uname().nodename,
            limits={"max_pixels": self._settings.max_pixels, "stream_slots": self._settings.stream_slots},
            warnings=tuple(body["warnings"]),
            output_pixel_format=body["output_pixel_format"],
            unacknowledged_bytes=self._settings.unacknowledged_bytes,
            effects=session.effects,
        )
