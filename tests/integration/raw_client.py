"""Protocol v1 on the bare stubs: what the tests say to the server is exactly what is written here."""

from __future__ import annotations

import queue
import threading
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import grpc
import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2, service_pb2_grpc

from segtriton_protocol import (
    End,
    Ended,
    Failed,
    Framing,
    Open,
    Opened,
    Output,
    OutputSpec,
    Packet,
    Packets,
    ServerMessage,
    VideoFormat,
    parse_response,
)

CLIPS = Path(__file__).parents[2] / ".assets" / "clips"
FAST = OutputSpec(preset="ultrafast")
_TYPES = {"UINT8": np.uint8, "INT64": np.int64, "UINT64": np.uint64, "BOOL": np.bool_}
_TYPE_NAMES = {np.dtype(dtype): name for name, dtype in _TYPES.items()}
_PACKETS_A_MESSAGE = 8
_CLOSE_SECONDS = 0.5


@dataclass(frozen=True)
class Clip:
    """A video's format and its packets, as the container holds them."""

    format: VideoFormat
    packets: tuple[Packet, ...]

    def head(self, count: int) -> Clip:
        return replace(self, packets=self.packets[:count])

    @property
    def pts(self) -> list[int]:
        """All timestamps in presentation order."""
        return sorted(packet.pts for packet in self.packets if packet.pts is not None)


@cache
def read_clip(name: str) -> Clip:
    return read_file(CLIPS / name)


def read_file(path: Path) -> Clip:
    """The packets of a file as its container frames them."""
    with av.open(path) as container:
        stream = container.streams.video[0]
        packets = _numbered(packet for packet in container.demux(stream) if packet.size)
        video = VideoFormat(
            codec=stream.codec.canonical_name,
            width=stream.width,
            height=stream.height,
            time_base=stream.time_base,
            framing=Framing.LENGTH_PREFIXED,
            extradata=stream.codec_context.extradata or b"",
            frame_rate=stream.average_rate,
            pixel_format=stream.codec_context.pix_fmt or "",
        )
    return Clip(video, packets)


def code_clip(
    encoder: av.VideoCodecContext, video: VideoFormat, frames: Iterable[av.VideoFrame], duration: int = 0
) -> Clip:
    """The packets that an encoder makes of frames, numbered in decoding order."""
    return Clip(video, _numbered((packet for frame in [*frames, None] for packet in encoder.encode(frame)), duration))


def _numbered(packets: Iterable[av.Packet], duration: int = 0) -> tuple[Packet, ...]:
    """`duration` is for those that have none."""
    return tuple(
        Packet(seq, packet.pts, packet.dts, packet.duration or duration, packet.is_keyframe, bytes(packet))
        for seq, packet in enumerate(packets)
    )


class RawStream:
    """One gRPC stream; `receive` gives the server's messages in the order that they come.

    A lazy one takes from the network only what `receive` asks for, and waits for it without a limit.
    """

    def __init__(self, address: str, model: str = "selfie_streaming", token: str = "", *, lazy: bool = False) -> None:
        self._model = model
        self._requests: queue.SimpleQueue[service_pb2.ModelInferRequest | None] = queue.SimpleQueue()
        self._responses: queue.SimpleQueue[service_pb2.ModelStreamInferResponse | grpc.RpcError] = queue.SimpleQueue()
        unbounded = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        self._channel = grpc.insecure_channel(address, options=unbounded)
        metadata = (("authorization", f"Bearer {token}"),) if token else ()
        stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._call = stub.ModelStreamInfer(iter(self._requests.get, None), metadata=metadata)
        self._lazy = lazy
        self._reader = threading.Thread(target=self._read, daemon=True)
        if not lazy:
            self._reader.start()

    def __enter__(self) -> RawStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A client that is done lets the call end by itself; one whose sessions are still open has to cancel.
        self._requests.put(None)
        if not self._lazy:
            self._reader.join(_CLOSE_SECONDS)
        self._call.cancel()
        if not self._lazy:
            self._reader.join(10)
        self._channel.close()

    def send(self, message: Any) -> None:
        """Send one of the protocol's messages."""
        self.send_raw(message.to_parameters(), message.to_tensors())

    def send_raw(self, parameters: Mapping[str, str | int], tensors: Mapping[str, np.ndarray]) -> None:
        """Send parameters and tensors, right or wrong."""
        request = service_pb2.ModelInferRequest(model_name=self._model)
        for name, value in parameters.items():
            if isinstance(value, int):
                request.parameters[name].int64_param = value
            else:
                request.parameters[name].string_param = value
        for name, array in tensors.items():
            request.inputs.add(name=name, datatype=_TYPE_NAMES[array.dtype], shape=array.shape)
            request.raw_input_contents.append(array.tobytes())
        self._requests.put(request)

    def receive(self, timeout: float = 30.0) -> ServerMessage:
        """Wait for a message; queue.Empty if none comes."""
        response = next(self._call) if self._lazy else self._responses.get(timeout=timeout)
        if isinstance(response, grpc.RpcError):
            raise response
        assert not response.error_message, response.error_message
        outputs = response.infer_response.outputs
        contents = response.infer_response.raw_output_contents
        return parse_response(
            {
                output.name: np.frombuffer(content, _TYPES[output.datatype]).reshape(output.shape)
                for output, content in zip(outputs, contents, strict=True)
            }
        )

    def open(self, clip: Clip, output: OutputSpec = FAST, **options: Any) -> Opened:
        """Open a session; raises the server's error."""
        self.send(Open(**{"video": clip.format, "output": output, **options}))
        answer = self.receive()
        if isinstance(answer, Failed):
            raise answer.error
        assert isinstance(answer, Opened)
        return answer

    def half_close(self) -> None:
        """Say that no request follows, and go on reading."""
        self._requests.put(None)

    def cancel(self) -> None:
        """End the call as a client that goes away does."""
        self._requests.put(None)
        self._call.cancel()

    def _read(self) -> None:
        try:
            for response in self._call:
                self._responses.put(response)
        except grpc.RpcError as error:
            self._responses.put(error)


@dataclass
class Run:
    """One session from OPEN to the counts."""

    opened: Opened
    ended: Ended | None = None
    packets: list[Packet] = field(default_factory=list)
    drops: dict[int, str] = field(default_factory=dict)

    @property
    def pts(self) -> list[int | None]:
        return [packet.pts for packet in self.packets]

    @property
    def payloads(self) -> list[bytes]:
        return [packet.payload for packet in self.packets]


def follow(stream: RawStream, clip: Clip, opened: Opened, *, says_received: bool = True) -> Run:
    """Send a clip within the credit and read to the end; raises the server's error."""
    run = Run(opened)
    sent = 0
    credit = opened.credit
    while run.ended is None:
        while sent < min(credit.packets, len(clip.packets)):
            part = clip.packets[sent : min(sent + _PACKETS_A_MESSAGE, credit.packets)]
            received = len(run.packets) + len(run.drops) if says_received else 0
            stream.send(Packets(opened.session_id, part, received))
            sent += len(part)
            if sent == len(clip.packets):
                stream.send(End(opened.session_id, clip.packets[-1].seq + 1))
        match stream.receive():
            case Output() as output:
                run.packets += output.packets
                assert not run.drops.keys() & {drop.seq for drop in output.drops}
                run.drops |= {drop.seq: drop.reason.value for drop in output.drops}
                credit = output.credit
            case Ended() as ended:
                run.ended = ended
            case Failed() as failed:
                raise failed.error
    return run


def stream_clip(address: str, clip: Clip, output: OutputSpec = FAST, **options: Any) -> Run:
    """Run a clip through a session of its own."""
    with RawStream(address) as stream:
        return follow(stream, clip, stream.open(clip, output, **options))


def decode(run: Run) -> list[av.VideoFrame]:
    """The pictures of a run's output."""
    return decode_payloads(run.opened.output_codec, run.payloads, run.opened.output_extradata)


def decode_masks(run: Run) -> NDArray[np.uint8]:
    """The masks [n, h, w] of a run with encoder mask."""
    masks = [np.frombuffer(zlib.decompress(payload), np.uint8) for payload in run.payloads]
    return np.stack(masks).reshape(-1, run.opened.output_height, run.opened.output_width)


def decode_payloads(codec: str, payloads: list[bytes], extradata: bytes = b"") -> list[av.VideoFrame]:
    context = av.CodecContext.create(codec, "r")
    context.extradata = extradata or None
    frames = [frame for payload in payloads for frame in context.decode(av.Packet(payload))]
    return [*frames, *context.decode(None)]
