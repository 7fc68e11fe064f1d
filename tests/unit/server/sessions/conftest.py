from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from fake_responder import FakeResponder
from triton_python_backend_utils import MetricFamily

from segtriton_protocol import (
    Credit,
    Open,
    Opened,
    Packet,
    VideoFormat,
    new_session_id,
)
from segtriton_server.observability.metrics import Metrics
from segtriton_server.sessions.answers import AcknowledgedAnswers, AnswerLimits, Answers, OpenRequestAnswers
from segtriton_server.sessions.credit_window import CreditWindow
from segtriton_server.sessions.dialects import Dialect, ProtocolDialect, Responder
from segtriton_server.sessions.ledger import Ledger
from segtriton_server.sessions.session import Session

LIMITS = AnswerLimits(unread=1 << 20, one_request=1 << 30)


class Books:
    """A session with all that a test wants to look at."""

    def __init__(
        self,
        dialect: Dialect,
        window_packets: int = 8,
        tenant: str = "",
        limits: AnswerLimits = LIMITS,
        *,
        acknowledges: bool = False,
    ) -> None:
        self.responder = FakeResponder()
        self.families: list[MetricFamily] = []
        self.closed: list[Session] = []
        self.pauses: list[bool] = []
        self.ended_requests: list[Responder] = []
        self.metrics = Metrics(_Recorder(self.families))
        answers: Answers
        if acknowledges:
            answers = AcknowledgedAnswers(self.responder, dialect, limits, self.ended_requests.append)
        else:
            answers = OpenRequestAnswers(self.responder, dialect, limits, window_packets)
        self.session = Session(
            new_session_id(),
            tenant,
            answers,
            Ledger(),
            CreditWindow(window_packets, 1000),
            self.metrics,
            self.closed.append,
            lambda session_id, is_paused: self.pauses.append(is_paused),
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
