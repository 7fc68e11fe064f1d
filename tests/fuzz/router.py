"""The service as it runs inside Triton, with its real, confined workers, fed without a network."""

from __future__ import annotations

import queue
import sys
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from mutations import HostileInput
from triton_python_backend_utils import MetricFamily

from segtriton_protocol import (
    Cancel,
    ClientMessage,
    End,
    Ended,
    Failed,
    Open,
    Opened,
    Output,
    Packets,
    ServerMessage,
    parse_response,
)
from segtriton_protocol.tensors import Tensors
from segtriton_server.observability.logs import configure_logging
from segtriton_server.observability.metrics import Metrics
from segtriton_server.services.streaming import StreamingService
from segtriton_server.settings import Settings

NETWORKS = Path(__file__).parents[2] / ".assets" / "networks"
MOST_SECONDS = 30.0


class _Responder:
    """Keeps what a client would receive."""

    def __init__(self) -> None:
        self.messages: queue.SimpleQueue[ServerMessage] = queue.SimpleQueue()

    def send(self, tensors: Tensors, *, is_final: bool = False) -> None:
        self.messages.put(parse_response(tensors))

    def fail(self, text: str) -> None:
        raise AssertionError(text)

    def close(self) -> None:
        pass

    def is_cancelled(self) -> bool:
        return False


@dataclass(frozen=True)
class Outcome:
    """How an input ended: "complete", an error's code, or "hangs"; and its answers by packet number."""

    number: int
    what: str
    answers: Counter[int]
    packets: int

    @property
    def adds_up(self) -> bool:
        if self.what in ("complete", "DECODE_FAILED"):
            return self.answers == Counter(range(self.packets))
        return self.answers.keys() <= set(range(self.packets)) and max(self.answers.values(), default=1) == 1


class Router:
    """A `StreamingService`; `run` may be called from several threads."""

    def __init__(self, workers: int = 2) -> None:
        settings = Settings(
            networks=NETWORKS,
            workers=workers,
            stream_slots=32,
            window_packets=512,
            python=sys.executable,
            log_level="ERROR",
            max_pixels=4096 * 2304,
        )
        configure_logging(settings)
        self._families: list[MetricFamily] = []
        self._service = StreamingService(settings, Metrics(self._make_family()))
        self._lock = threading.Lock()

    def __enter__(self) -> Router:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._service.close()

    @property
    def worker_pids(self) -> list[int]:
        return self._service._pool.worker_pids()

    def run(self, hostile: HostileInput) -> Outcome:
        """Stream one input to its end."""
        responder = _Responder()
        self._send(Open(video=hostile.clip.format, output=hostile.output), responder)
        packets = hostile.clip.packets
        answers: Counter[int] = Counter()
        session_id = ""
        try:
            while True:
                match responder.messages.get(timeout=MOST_SECONDS):
                    case Opened() as opened:
                        session_id = opened.session_id
                        self._send(Packets(session_id, packets))
                        self._send(End(session_id, len(packets)))
                    case Output() as output:
                        answers.update(packet.seq for packet in output.packets)
                        answers.update(drop.seq for drop in output.drops)
                    case Ended():
                        return Outcome(hostile.number, "complete", answers, len(packets))
                    case Failed(error):
                        return Outcome(hostile.number, error.code.name, answers, len(packets))
        except queue.Empty:
            self._send(Cancel(session_id))
            return Outcome(hostile.number, "hangs", answers, len(packets))

    def _send(self, message: ClientMessage, responder: _Responder | None = None) -> None:
        with self._lock:
            self._service.handle("", message.to_parameters(), message.to_tensors(), responder or _Responder())

    def _make_family(self) -> type[MetricFamily]:
        families = self._families

        class Family(MetricFamily):
            def __init__(self, name: str, description: str, kind: int) -> None:
                super().__init__(name, description, kind)
                families.append(self)

        return Family

    def restarts(self) -> int:
        """Workers that have been replaced."""
        (family,) = (one for one in self._families if one.name == "segtriton_worker_restarts_total")
        return int(sum(metric.value() for metric in family.metrics))
