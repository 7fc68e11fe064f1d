from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from echo_service import EchoService
from tritonclient.grpc import service_pb2

from segtriton_client import Endpoint
from segtriton_client.numbered_clip import Clip
from segtriton_client.probe_result import PHASES
from segtriton_ops.exporter import observer as observers
from segtriton_ops.exporter.observer import Observer
from segtriton_ops.exporter.triton import ADMIN_HEADER

Serve = Callable[[EchoService], Awaitable[str]]


class TalkativeService(EchoService):
    """Tells statistics to those who show the key."""

    async def ServerReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        return service_pb2.ServerReadyResponse(ready=True)

    async def ModelReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        return service_pb2.ModelReadyResponse(ready=True)

    async def ModelStatistics(self, request: Any, context: Any) -> Any:  # noqa: N802
        assert dict(context.invocation_metadata())[ADMIN_HEADER] == "key"
        answer = service_pb2.ModelStatisticsResponse()
        model = answer.model_stats.add(name="selfie", version="1", inference_count=6, execution_count=2)
        model.inference_stats.success.count = 2
        model.inference_stats.queue.ns = 1_500_000_000
        model.batch_stats.add(batch_size=3).compute_infer.count = 2
        return answer


class MuteService(EchoService):
    """Takes a session's first message and never answers."""

    async def ModelStreamInfer(self, requests: Any, context: Any) -> Any:  # noqa: N802
        await asyncio.Event().wait()
        yield


async def test_a_session_of_a_healthy_server_is_a_success(observer: Observer, serve: Serve, clip: Clip) -> None:
    look = await observer.look(await serve(EchoService()))

    assert (look.probe.code, look.probe.message) == ("", "")
    assert look.probe.frames_sent == look.probe.frames_out == len(look.probe.latencies) == len(clip.packets)
    assert set(look.probe.phases) == set(PHASES) - {"resolve"}
    assert look.probe.info
    assert (look.probe.info.server, look.probe.info.encoder) == ("echo 1", "echo")
    assert look.probe.certificate_expires is None


@pytest.mark.parametrize(
    ("service", "code"),
    [
        (EchoService(drop_seqs=(3,)), "WRONG_PICTURE"),
        (EchoService(fail_after=2), "WORKER_LOST"),
        (EchoService(abort_after=2), "LOST"),
        (EchoService(digest=lambda digest: "0" * 64), "INTEGRITY"),
    ],
)
async def test_what_is_wrong_has_a_code(observer: Observer, serve: Serve, service: EchoService, code: str) -> None:
    look = await observer.look(await serve(service))
    assert look.probe.code == code
    assert look.probe.message
    assert not look.probe.success


async def test_a_server_that_is_gone_says_so(observer: Observer) -> None:
    look = await observer.look("127.0.0.1:1")
    assert look.probe.code == "UNAVAILABLE"
    assert "connect" in look.probe.phases
    assert not look.triton.live


@pytest.mark.parametrize(("is_mute", "phase"), [(True, "open"), (False, "connect")])
async def test_a_server_that_hangs_is_left_after_a_time(
    observer: Observer, serve: Serve, silent: str, is_mute: bool, phase: str
) -> None:
    address = await serve(MuteService()) if is_mute else silent
    look = await observer.look(address, seconds=0.5)
    assert look.probe.code == "TIMEOUT"
    assert f"in phase {phase}" in look.probe.message
    assert look.probe.phases[phase] > 0


async def test_a_fault_of_the_prober_is_no_silence(
    observer: Observer, serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_: object) -> None:
        raise AssertionError("our own")

    monkeypatch.setattr(observers, "probe", fail)
    look = await observer.look(await serve(EchoService()))
    assert look.probe.code == "PROBER"
    assert "our own" in caplog.text


async def test_triton_tells_its_statistics_to_the_one_who_has_the_key(clip: Clip, serve: Serve) -> None:
    observer = Observer(Endpoint(""), clip, "selfie", seconds=20, admin_key="key")
    triton = (await observer.look(await serve(TalkativeService()))).triton
    [model] = triton.models
    assert (triton.live, triton.ready, triton.error) == (True, True, "")
    assert (model.name, model.ready, model.inferences, model.executions) == ("selfie", True, 6, 2)
    assert (model.requests["success"], model.seconds["queue"], dict(model.batches)) == (2, 1.5, {3: 2})
