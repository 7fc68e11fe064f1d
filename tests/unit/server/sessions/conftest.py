from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from triton_python_backend_utils import MetricFamily

from segtriton_protocol import (
    Credit,
    Open,
    Opened,
    Packet,
    ServerMessage,
    VideoFormat,
    new_session_id,
    parse_response,
)
from segtriton_protocol.tensors import Tensors
from segtriton_server.observability.metrics import Metrics
from segtriton_server.sessions.credit_window import CreditWindow
from segtriton_server.sessions.dialects import Dialect, ProtocolDialect
from segtriton_server.sessions.ledger import Ledger
from segtriton_server.sessions.session import Session


class FakeResponder:
    """Keeps what is sent; takes nothing after the final flag, as Triton's sender, nor the next `failing` messages."""

    def __init__(self) -> None:
        self.sent: list[Tensors] = []
        self.failures: list[str] = []
        self.is_closed = False
        self.cancelled = False
        self.failing = 0

    def send(self, tensors: Tensors, *, is_final: bool = False) -> None:
        assert not self.is_closed
        if self.failing:
            self.failing -= 1
            raise RuntimeError("Failed to increase the shared memory pool size")
        self.sent.append(tensors)
        self.is_closed = is_final

    def fail(self, text: str) -> None:
        assert not self.is_closed
        self.failures.append(text)
        self.is_closed = True

    def close(self) -> None:
        assert not self.is_closed
        self.is_closed = True

    def is_cancelled(self) -> bool:
        return self.cancelled

    @property
    def messages(self) -> list[ServerMessage]:
        return [parse_response(tensors) for tensors in self.sent]


class Books:
    """A session with all that a test wants to look at."""

    def __init__(self, dialect: Dialect, window_packets: int = 8, tenant: str = "") -> None:
        self.responder = FakeResponder()
        self.families: list[MetricFamily] = []
        self.closed: list[Session] = []
        self.metrics = Metrics(_Recorder(self.families))
        self.session = Session(
            new_session_id(),
            tenant,
            self.responder,
            dialect,
            Ledger(),
            CreditWindow(window_packets, 1000),
            self.metrics,
            self.closed.append,
        )

    def open(self) -> Session:
        self.session.opened(opened_for(self.session))
        return self.session

    def metric(self, name: str) -> dict[tuple[str, ...], float]:
        """The values of a metric by its labels' values; zeros left out."""
        self.metrics.flush()
        (family,) = (family for family in self.families if family.name == name)
        values = {
            tuple(metric.labels.values()): metric.value() or float(len(metric.observations))
            for metric in family.metrics
        }
        return {labels: value for labels, value in values.items() if value}


class _Recorder:
    COUNTER, GAUGE, HISTOGRAM = MetricFamily.COUNTER, MetricFamily.GAUGE, MetricFamily.HISTOGRAM

    def __init__(self, families: list[MetricFamily]) -> None:
        self._families = families

    def __call__(self, **options: Any) -> MetricFamily:
        self._families.append(MetricFamily(**options))
        return self._families[-1]


def opened_for(session: Session) -> Opened:
    return Opened(
        session_id=session.session_id,
        network="selfie",
        class_name="person",
        classes=("background", "person"),
        decoder="libavcodec h264",
        encoder="libx264",
        encoder_reason="It works.",
        output_codec="h264",
        output_extradata=b"SPS",
        output_width=64,
        output_height=48,
        credit=Credit(8, 1000),
        server="",
        pod="",
    )


@pytest.fixture
def make_books() -> Callable[..., Books]:
    def make(dialect: Dialect | None = None, **options: Any) -> Books:
        return Books(dialect or ProtocolDialect(), **options)

    return make


@pytest.fixture
def make_packet() -> Callable[..., Packet]:
    def make(seq: int, payload: bytes = b"x", *, key: bool = True) -> Packet:
        return Packet(seq, seq * 10, seq * 10, 10, key, payload)

    return make


@pytest.fixture
def open_request() -> Open:
    return Open(video=VideoFormat("h264", 64, 48, Fraction(1, 25)))
