"""A worker over parts that do nothing: what the router is told of batches and failures."""

import dataclasses
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from pipeline_parts import DeviceLostError, Parts

from segtriton_protocol import Background, ErrorCode, Open, OutputSpec, Packet, VideoFormat
from segtriton_protocol.packets import PacketBlock
from segtriton_server.settings import Settings
from segtriton_server.workers import worker_process
from segtriton_server.workers.channel import AnyMessage, Channel, ChannelMessage, SessionPackets, SessionResults
from segtriton_server.workers.router_messages import WORKER_SETTINGS, open_message, settings_argument
from segtriton_server.workers.session_pipeline import SessionPipeline
from segtriton_server.workers.worker_process import WorkerProcess

OPEN = Open(video=VideoFormat("h264", 64, 48, Fraction(1, 25)))
PACKETS = [Packet(seq, seq, seq, 1, True, b"x") for seq in range(6)]


class Router:
    """The other end of a worker's channel."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def send(self, message: ChannelMessage | SessionPackets) -> None:
        self._channel.send(message.pack())

    def run(self, session_id: str) -> list[AnyMessage]:
        """Open a session, send all packets, and return what comes until it is over."""
        self.send(open_message(session_id, OPEN))
        self.send(SessionPackets(session_id, PacketBlock.pack(PACKETS)))
        self.send(ChannelMessage("end", session_id))
        return self.receive_until("ended", "failed")

    def receive_until(self, *kinds: str) -> list[AnyMessage]:
        messages = [self._channel.receive()]
        while kind_of(messages[-1]) not in kinds:
            messages.append(self._channel.receive())
        return messages


def kind_of(message: AnyMessage) -> str:
    return message.kind if isinstance(message, ChannelMessage) else ""


@pytest.fixture
def exits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The statuses that the worker meant to exit with."""
    statuses: list[int] = []
    monkeypatch.setattr("os._exit", statuses.append)
    return statuses


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch, exits: list[int]) -> Iterator[Callable[[Parts], Router]]:
    ours, theirs = socket.socketpair()
    threads: list[threading.Thread] = []

    def start_worker(parts: Parts) -> Router:
        monkeypatch.setattr(worker_process, "create_accelerator", lambda settings: parts)
        worker = WorkerProcess(Channel(theirs), Settings(batch_size=16, batch_deadline=0.05))
        threads.append(threading.Thread(target=worker.run, daemon=True))
        threads[0].start()
        router = Router(Channel(ours))
        router.receive_until("ready")
        return router

    yield start_worker
    ours.close()
    for thread in threads:
        thread.join(5)
        assert not thread.is_alive()


def test_batches_and_times_are_counted_in_frames(start: Callable[[Parts], Router]) -> None:
    router = start(Parts(group_size=4))
    messages = router.run("a")

    results = [message for message in messages if isinstance(message, SessionResults)]
    others = [message for message in messages if isinstance(message, ChannelMessage)]
    assert [packet.seq for message in results for packet in message.block.unpack()] == list(range(6))
    assert sum(message.stages.get("network", (0.0, 0))[1] for message in results) == len(PACKETS)
    batches = [frames for message in others if "batches" in message.body for frames in message.body["batches"]]
    assert sum(batches) == len(PACKETS)
    assert next(message.body["warnings"] for message in others if message.kind == "opened") == list(Parts.warnings)


@pytest.mark.parametrize("stage", ["segment", "decode", "open_output"])
@pytest.mark.parametrize(
    ("error", "code", "statuses"),
    [
        (MemoryError(), ErrorCode.RESOURCE_EXHAUSTED, []),
        (KeyError("secret"), ErrorCode.INTERNAL, []),
        (DeviceLostError("CUDA"), ErrorCode.INTERNAL, [1]),
    ],
)
def test_a_failure_ends_its_session_or_the_process(
    start: Callable[[Parts], Router],
    exits: list[int],
    stage: str,
    error: Exception,
    code: ErrorCode,
    statuses: list[int],
) -> None:
    parts = Parts(errors={stage: error})
    router = start(parts)
    failed = router.run("a")[-1]

    assert failed.kind == "failed"
    assert failed.body["code"] == code.name
    assert failed.body["retryable"] == (code is ErrorCode.RESOURCE_EXHAUSTED)
    assert exits[:1] == statuses
    assert "secret" not in str(failed.body)

    parts.errors.clear()
    router.send(ChannelMessage("close", "a"))
    assert router.run("b")[-1].kind == "ended"


def test_memory_is_given_back_once_no_session_is_open(start: Callable[[Parts], Router]) -> None:
    parts = Parts()
    router = start(parts)
    router.run("a")
    router.run("b")
    router.send(ChannelMessage("close", "a"))
    time.sleep(1.5)
    assert not parts.named("give_memory_back")

    router.send(ChannelMessage("close", "b"))
    deadline = time.monotonic() + 5
    while not parts.named("give_memory_back") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(parts.named("give_memory_back")) == 1


def test_what_a_worker_is_told_names_no_file_with_secrets() -> None:
    told = json.loads(settings_argument(Settings(token_file="/etc/token", jwt_key_file="/etc/key", jwt_issuer="us")))

    assert {"token_file", "jwt_key_file", "jwt_issuer", "jwt_audience", "drain_file"}.isdisjoint(told)


def test_a_worker_is_told_each_setting_that_it_asks_for() -> None:
    package = Path(worker_process.__file__).parents[1]
    files = [file for room in ("media", "vision", "encoders", "device") for file in package.glob(f"{room}/**/*.py")]
    files += [
        package / "workers" / f"{name}.py"
        for name in ("accelerator", "confinement", "gpu_accelerator", "landlock", "session_pipeline", "worker_process")
    ]
    asked = {name for file in files for name in re.findall(r"\bsettings\.(\w+)", file.read_text())}
    known = {field.name for field in dataclasses.fields(Settings)}

    assert asked & known <= set(WORKER_SETTINGS)


def test_a_session_with_a_background_opens_when_its_packets_are_there(start: Callable[[Parts], Router]) -> None:
    parts = Parts(group_size=1)
    router = start(parts)
    block = PacketBlock.pack([Packet(0, 0, 0, 1, True, b"x"), Packet(1, 1, 1, 1, True, b"x")])
    request = dataclasses.replace(OPEN, output=OutputSpec(effect="image"), background=Background(OPEN.video, block))
    router.send(open_message("a", request))
    router.receive_until("beat")
    assert parts.named("open_output") == []

    router.send(SessionPackets("a", block))
    router.receive_until("opened")
    router.send(SessionPackets("a", PacketBlock.pack(PACKETS)))
    router.send(ChannelMessage("end", "a"))
    results = [message for message in router.receive_until("ended") if isinstance(message, SessionResults)]
    assert [packet.seq for message in results for packet in message.block.unpack()] == list(range(6))
    assert parts.named("behind") == [(0,), (1,)] * 3


def test_a_session_is_described_before_a_stage_can_fail_and_close_its_parts(
    start: Callable[[Parts], Router], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def noted(call: Callable[[SessionPipeline], Any]) -> Callable[[SessionPipeline], Any]:
        def note(pipeline: SessionPipeline) -> Any:
            calls.append(call.__name__)
            return call(pipeline)

        return note

    for call in (SessionPipeline.describe, SessionPipeline.start):
        monkeypatch.setattr(SessionPipeline, call.__name__, noted(call))
    router = start(Parts())
    router.send(open_message("a", OPEN))
    router.receive_until("opened")

    assert calls == ["describe", "start"]
