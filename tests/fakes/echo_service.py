"""A service that stands in for Triton: it re-encodes what it gets and keeps to the protocol."""

from __future__ import annotations

import dataclasses
import hashlib
import time
import zlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import av
import grpc.aio
import numpy as np
from av.codec.context import Flags
from tritonclient.grpc import service_pb2, service_pb2_grpc

from segtriton_client.tensor_codec import decode_response, encode_request
from segtriton_protocol import (
    IMAGE_EFFECT,
    PROTOCOL_VERSION,
    Cancel,
    Credit,
    Describe,
    Described,
    Drop,
    DropReason,
    End,
    Ended,
    ErrorCode,
    Failed,
    Open,
    Opened,
    Output,
    Packet,
    Packets,
    SegtritonError,
    ServerMessage,
    new_session_id,
    parse_request,
)
from segtriton_protocol.frame_parts import FramePart, join_parts

WINDOW = 16
MASK_SIZE = (30, 22)


def make_mask(number: int) -> np.ndarray:
    """Return the mask that `EchoService` sends as its output number `number`."""
    width, height = MASK_SIZE
    return np.random.default_rng(number).integers(0, 256, (height, width), np.uint8)


def make_opened(video: Any, codec: str = "h264", credit: int = WINDOW) -> Opened:
    return Opened(
        session_id=new_session_id(),
        network="selfie",
        class_name="person",
        classes=("person",),
        decoder="echo",
        encoder="echo",
        encoder_reason="test",
        output_codec=codec,
        output_extradata=b"",
        output_width=video.width,
        output_height=video.height,
        credit=Credit(credit, 1 << 24),
        server="echo 1",
        pod="",
    )


SELFIE = Described("selfie", ("background", "person"), "person", "Apache-2.0", ("selfie",))


@dataclass
class EchoService(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Decodes each packet and sends the picture back as H.264 without B-frames."""

    drop_seqs: tuple[int, ...] = ()
    fail_after: int | None = None
    abort_after: int | None = None
    digest: Callable[[str], str] = str
    kinds: list[str] = field(default_factory=list)
    parameters: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    cancels: int = 0
    answers: int = 0
    refusal: str = ""
    sends_masks: bool = False
    warnings: tuple[str, ...] = ()
    frames_without_class: int | None = None
    is_restricted: bool = False
    ready: tuple[str, ...] = ("selfie", "selfie_streaming")
    described: Described | Failed = SELFIE
    stream_error: str = ""
    opened: list[Open] = field(default_factory=list)
    image_refusal: SegtritonError | None = None
    draws_several: bool = False

    async def ServerLive(self, request: Any, context: Any) -> Any:  # noqa: N802
        return service_pb2.ServerLiveResponse(live=True)

    async def ServerMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        return service_pb2.ServerMetadataResponse(name="echo", version="1")

    async def RepositoryIndex(self, request: Any, context: Any) -> Any:  # noqa: N802
        if self.is_restricted:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "This protocol is restricted, expecting header 'key'")
        index = service_pb2.RepositoryIndexResponse()
        for name in reversed(self.ready):
            index.models.add(name=name, state="READY")
        return index

    async def ModelReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        return service_pb2.ModelReadyResponse(ready=request.name in self.ready)

    async def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.parameters = {
            key: getattr(value, value.WhichOneof("parameter_choice")) for key, value in request.parameters.items()
        }
        if self.refusal:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, self.refusal)
        frames = _tensors_of(request)["inputrgb"]
        return _response({"outputrgb": frames})

    async def ModelStreamInfer(self, requests: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        self.metadata = {key: value for key, value in context.invocation_metadata()}
        session: _EchoSession | None = None
        async for request in requests:
            if self.stream_error:
                yield service_pb2.ModelStreamInferResponse(error_message=self.stream_error)
                return
            parameters = {
                key: getattr(value, value.WhichOneof("parameter_choice")) for key, value in request.parameters.items()
            }
            assert parameters["segtriton_protocol"] == PROTOCOL_VERSION
            message = parse_request(parameters, _tensors_of(request))
            self.kinds.append(message.kind)
            if isinstance(message, Open):
                self.opened.append(message)
                if self.image_refusal is not None and message.output.effect == IMAGE_EFFECT:
                    yield _answer(Failed(self.image_refusal))
                    return
                session = _EchoSession(self, message)
                yield _answer(session.opened)
            elif isinstance(message, Describe):
                yield _answer(self.described)
                return
            elif isinstance(message, Cancel):
                self.cancels += 1
                yield _answer(Failed(SegtritonError(ErrorCode.CANCELLED, "Cancelled.")))
                return
            assert session is not None
            for reply in session.take(message):
                yield _answer(reply)
                if isinstance(reply, Failed | Ended):
                    return
                self.answers += isinstance(reply, Output)
            if self.abort_after is not None and self.answers >= self.abort_after:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "killed")


class _EchoSession:
    def __init__(self, service: EchoService, message: Open) -> None:
        video = message.video
        self.service = service
        self._wanted_seq, self._skipped = message.wanted_seq, 0
        self.taken = self.sent_back = 0
        self._by_pts: dict[int | None, Packet] = {}
        self._digest = hashlib.sha256()
        self._drops: dict[str, int] = {}
        self._decoder = av.CodecContext.create(video.codec, "r")
        self._decoder.extradata = video.extradata or None
        self._encoder = av.CodecContext.create("libx264", "w")
        self._encoder.width, self._encoder.height = video.width, video.height
        self._encoder.pix_fmt = "yuv420p"
        self._encoder.time_base = video.time_base
        self._encoder.framerate = video.frame_rate or 25
        self._encoder.options = {"tune": "zerolatency", "preset": "ultrafast", "bf": "0"}
        self._encoder.flags |= Flags.global_header
        self._encoder.open()
        self.opened = dataclasses.replace(
            make_opened(video), output_extradata=bytes(self._encoder.extradata), warnings=service.warnings
        )
        self._num_parts = 1
        if service.draws_several:
            self.opened = dataclasses.replace(self.opened, effects=message.output.effects)
            self._num_parts = len(message.output.effects)
        if service.sends_masks:
            width, height = MASK_SIZE
            self.opened = dataclasses.replace(
                self.opened, output_codec="rawmask_zlib", output_width=width, output_height=height
            )

    def take(self, message: Any) -> list[ServerMessage]:
        """Frames before `wanted_seq` are decoded for the sake of later ones, and neither counted nor sent."""
        if isinstance(message, Packets):
            return self._echo(message)
        if not isinstance(message, End):
            return []
        outputs = self._encode_wanted(self._decoder.decode(None))
        left = tuple(Drop(packet.seq, DropReason.NO_FRAME) for packet in self._by_pts.values())
        self._count(left)
        digest = self.service.digest(self._digest.hexdigest())
        counts = self.taken - self._skipped, self.sent_back, self._drops
        ended = Ended(*counts, digest, {"decode": 0.1}, frames_without_class=self.service.frames_without_class)
        return [Output(tuple(outputs), left, self._credit()), ended]

    def _echo(self, message: Packets) -> list[ServerMessage]:
        outputs: list[Packet] = []
        drops: list[Drop] = []
        for packet in message.packets:
            self.taken += 1
            assert self.taken <= self._credit().packets + WINDOW
            if packet.seq in self.service.drop_seqs:
                drops.append(Drop(packet.seq, DropReason.DAMAGED))
                continue
            self._by_pts[packet.pts] = packet
            coded = av.Packet(packet.payload)
            coded.pts, coded.dts = packet.pts, packet.dts
            outputs += self._encode_wanted(self._decoder.decode(coded))
        self._count(drops)
        if self.service.fail_after is not None and self.taken >= self.service.fail_after:
            return [Failed(SegtritonError(ErrorCode.WORKER_LOST, "The worker is gone."))]
        return [Output(tuple(outputs), tuple(drops), self._credit())]

    def _encode_wanted(self, frames: Any) -> list[Packet]:
        outputs = []
        for frame in frames:
            if self._by_pts[frame.pts].seq >= self._wanted_seq:
                outputs.append(self._encode(frame))
            else:
                del self._by_pts[frame.pts]
                self._skipped += 1
        return outputs

    def _encode(self, frame: Any) -> Packet:
        source = self._by_pts.pop(frame.pts)
        frame.pict_type = 0
        (packet,) = self._encoder.encode(frame)
        payload = bytes(packet)
        if self.service.sends_masks:
            payload = zlib.compress(make_mask(self.sent_back).tobytes())
        if self._num_parts > 1:
            payload = join_parts([FramePart(payload, packet.is_keyframe)] * self._num_parts)
        self._digest.update(payload)
        self.sent_back += 1
        return Packet(source.seq, source.pts, source.pts, source.duration, packet.is_keyframe, payload)

    def _count(self, drops: Any) -> None:
        for drop in drops:
            self._drops[drop.reason.value] = self._drops.get(drop.reason.value, 0) + 1

    def _credit(self) -> Credit:
        return Credit(self._skipped + self.sent_back + sum(self._drops.values()) + WINDOW, 1 << 24)


async def listen(service: EchoService) -> tuple[grpc.aio.Server, str]:
    """Start a server with the service on a free port; returns it and its address."""
    server = grpc.aio.server()
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return server, f"127.0.0.1:{port}"


def packets_at(service: EchoService) -> Callable[[], object]:
    """Return what waits until packets are on their way."""

    def wait() -> None:
        while "packets" not in service.kinds:
            time.sleep(0.02)

    return wait


def _tensors_of(request: Any) -> Any:
    fake = service_pb2.ModelInferResponse(raw_output_contents=request.raw_input_contents)
    for tensor in request.inputs:
        fake.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
    return decode_response(fake)


def _response(tensors: Any) -> Any:
    request = encode_request("", tensors, {})
    response = service_pb2.ModelInferResponse(raw_output_contents=request.raw_input_contents)
    for tensor in request.inputs:
        response.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
    return response


def _answer(message: ServerMessage) -> Any:
    return service_pb2.ModelStreamInferResponse(infer_response=_response(message.to_tensors()))
