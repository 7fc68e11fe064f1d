"""Every error code, brought about for real: its fields are the contract's, and its words give nothing away."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import hanging_worker
import pytest
from process_tree import wait_until, worker_pids
from raw_client import FAST, Clip, RawStream, follow, read_clip
from servers import metrics_of

from segtriton_protocol import (
    Cancel,
    ErrorCode,
    Failed,
    Open,
    Output,
    OutputSpec,
    Packets,
    SegtritonError,
    ServerMessage,
    new_session_id,
)
from segtriton_protocol.tensors import PARAMETER_PROTOCOL
from segtriton_server.launch import LaunchSettings, TritonProcess

# Of the width that fails in the worker of these tests, and one of another.
CARPHONE = read_clip("carphone_pristine.mp4").head(30)
CLIP = read_clip("bikes.mp4").head(130)
OWNER, OTHER = "token-of-the-owner", "token-of-another"
# A path, a name of shared memory, a header, a trace, a token.
TELLTALE = re.compile(
    r"/\w+/|/dev/shm|shm_region|\.py\b|Traceback|line \d+|segtriton-admin-key|token-of-", re.IGNORECASE
)

pytestmark = pytest.mark.timeout(120)


@dataclass(frozen=True)
class Scene:
    """One server on which all can go wrong."""

    server: TritonProcess
    drain_file: Path

    def stream(self, token: str = OWNER) -> RawStream:
        return RawStream(self.server.grpc_address, token=token)


@pytest.fixture(scope="module")
def scene(server_settings: Callable[..., LaunchSettings], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("scene")
    (folder / "tokens").write_text(f"{OWNER} owner\n{OTHER} other\n")
    python = hanging_worker.make_python(folder, "decode", "failing")
    settings = server_settings(
        workers=1,
        stream_slots=2,
        window_packets=24,
        idle_timeout=8,
        stage_deadline=4,
        token_file=folder / "tokens",
        drain_file=folder / "drain",
        python=python,
    )
    with TritonProcess(settings) as server:
        yield Scene(server, folder / "drain")


@pytest.fixture(autouse=True)
def _works_before(scene: Scene) -> None:
    def works() -> bool:
        with scene.stream() as stream:
            try:
                return bool(follow(stream, CLIP.head(10), stream.open(CLIP)).packets)
            except SegtritonError:
                return False

    assert wait_until(works)


def failure(stream: RawStream, timeout: float = 30) -> SegtritonError:
    answer: ServerMessage = stream.receive(timeout)
    while isinstance(answer, Output):
        answer = stream.receive(timeout)
    assert isinstance(answer, Failed)
    return answer.error


def of_open(scene: Scene, token: str = OWNER, clip: Clip = CLIP, **options: object) -> SegtritonError:
    with scene.stream(token) as stream, pytest.raises(SegtritonError) as caught:
        stream.open(clip, **{"output": FAST, **options})  # type: ignore[arg-type]
    return caught.value


def of_packets(scene: Scene, clip: Clip, **options: bool) -> SegtritonError:
    with scene.stream() as stream, pytest.raises(SegtritonError) as caught:
        follow(stream, clip, stream.open(clip), **options)
    return caught.value


def of_session(scene: Scene, trouble: Callable[[RawStream, str], object]) -> SegtritonError:
    """What ends a session that was opened well and has sent a little."""
    with scene.stream() as stream:
        opened = stream.open(CLIP)
        stream.send(Packets(opened.session_id, CLIP.packets[:4]))
        trouble(stream, opened.session_id)
        return failure(stream)


def protocol_mismatch(scene: Scene) -> SegtritonError:
    request = Open(video=CLIP.format)
    with scene.stream() as stream:
        stream.send_raw({**request.to_parameters(), PARAMETER_PROTOCOL: 99}, request.to_tensors())
        return failure(stream)


def permission_denied(scene: Scene) -> SegtritonError:
    with scene.stream() as owner, scene.stream(OTHER) as other:
        other.send(Cancel(owner.open(CLIP).session_id))
        return failure(other)


def unknown_session(scene: Scene) -> SegtritonError:
    with scene.stream() as stream:
        stream.send(Cancel(new_session_id()))
        return failure(stream)


def duplicate_open(scene: Scene) -> SegtritonError:
    with scene.stream() as stream:
        stream.open(CLIP, open_key="once")
        return of_open(scene, open_key="once")


def resource_exhausted(scene: Scene) -> SegtritonError:
    with scene.stream() as stream:
        stream.open(CLIP)
        stream.open(CLIP)
        return of_open(scene)


def draining(scene: Scene) -> SegtritonError:
    scene.drain_file.write_text("drain")
    try:
        assert wait_until(lambda: metrics_of(scene.server)["segtriton_draining"] == 1)
        return of_open(scene)
    finally:
        scene.drain_file.unlink()


def signalled(number: signal.Signals) -> Callable[[Scene], SegtritonError]:
    def trouble(scene: Scene) -> SegtritonError:
        (pid,) = worker_pids(scene.server.pid)
        return of_session(scene, lambda stream, session_id: os.kill(pid, number))

    return trouble


def garbage(clip: Clip) -> Clip:
    return replace(clip, packets=tuple(replace(packet, payload=b"\0\0\0\5garbage") for packet in clip.packets))


def flood(stream: RawStream, session_id: str) -> None:
    for packet in CLIP.packets[4:60]:
        stream.send(Packets(session_id, (packet,) * 10))


TRIGGERS: dict[ErrorCode, Callable[[Scene], SegtritonError]] = {
    ErrorCode.PROTOCOL_MISMATCH: protocol_mismatch,
    ErrorCode.UNAUTHENTICATED: lambda scene: of_open(scene, token="wrong"),
    ErrorCode.PERMISSION_DENIED: permission_denied,
    ErrorCode.INVALID_MESSAGE: lambda scene: of_open(scene, mode="sideways"),
    ErrorCode.INVALID_PACKET: lambda scene: of_session(
        scene, lambda stream, session_id: stream.send(Packets(session_id, (replace(CLIP.packets[4], payload=b""),)))
    ),
    ErrorCode.UNKNOWN_SESSION: unknown_session,
    ErrorCode.DUPLICATE_OPEN: duplicate_open,
    ErrorCode.UNSUPPORTED_FORMAT: lambda scene: of_open(scene, video=replace(CLIP.format, codec="cinepak")),
    ErrorCode.LIMIT_EXCEEDED: lambda scene: of_open(scene, video=replace(CLIP.format, width=16384, height=16384)),
    ErrorCode.UNKNOWN_NETWORK: lambda scene: of_open(scene, network="resnet9000"),
    ErrorCode.UNKNOWN_CLASS: lambda scene: of_open(scene, output=OutputSpec(class_name="unicorn")),
    ErrorCode.UNKNOWN_ENCODER: lambda scene: of_open(scene, output=OutputSpec(encoder="divx")),
    ErrorCode.NEED_KEYFRAME: lambda scene: of_packets(scene, replace(CLIP, packets=CLIP.packets[1:])),
    ErrorCode.DECODE_FAILED: lambda scene: of_packets(scene, garbage(CLIP.head(10))),
    ErrorCode.WINDOW_EXCEEDED: lambda scene: of_session(scene, flood),
    ErrorCode.SLOW_CONSUMER: lambda scene: of_packets(scene, CLIP, says_received=False),
    ErrorCode.IDLE_TIMEOUT: lambda scene: of_session(scene, lambda stream, session_id: None),
    ErrorCode.CANCELLED: lambda scene: of_session(scene, lambda stream, session_id: stream.send(Cancel(session_id))),
    ErrorCode.RESOURCE_EXHAUSTED: resource_exhausted,
    ErrorCode.DRAINING: draining,
    ErrorCode.WORKER_LOST: signalled(signal.SIGKILL),
    ErrorCode.STAGE_TIMEOUT: signalled(signal.SIGSTOP),
    ErrorCode.INTERNAL: lambda scene: of_packets(scene, CARPHONE),
}


def test_no_code_is_left_out() -> None:
    assert TRIGGERS.keys() == set(ErrorCode)


@pytest.mark.parametrize("code", TRIGGERS, ids=lambda code: code.name)
def test_an_error_is_what_the_contract_says(scene: Scene, code: ErrorCode) -> None:
    error = TRIGGERS[code](scene)

    assert error.code is code, error
    wire = error.to_json()
    assert (wire["retryable"], wire["advice"]) == (code.retryable, code.advice)
    assert error.message.endswith(".")
    assert not TELLTALE.search(str(error)), error
    if error.retry_after_seconds is not None:
        assert code.retryable
