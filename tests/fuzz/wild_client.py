"""A client that sends what it likes, in both dialects, and notes what was answered to each request."""

from __future__ import annotations

import json
import queue
import re
import threading
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2, service_pb2_grpc

from segtriton_protocol import Cancel, ErrorCode, new_session_id

MODEL = "selfie_streaming"
WAIT_SECONDS = 30.0
_DATA_TYPES = {np.uint8: "UINT8", np.int32: "INT32", np.int64: "INT64", np.uint64: "UINT64", np.bool_: "BOOL"}
_CODE = re.compile(r"([A-Z_]+): ")


@dataclass(frozen=True)
class WildRequest:
    """What is sent, right or wrong."""

    parameters: Mapping[str, str | int | bool] = field(default_factory=dict)
    tensors: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    request_id: str = ""


@dataclass(frozen=True)
class Answer:
    """A response: its kind, the session that it opened, the code of its failure, and its words."""

    kind: str
    session_id: str = ""
    code: str = ""
    text: str = ""


class WildClient:
    """One gRPC stream. `exchange` returns once the router has handled the request."""

    def __init__(self, address: str) -> None:
        self._numbers = count()
        self._answers: dict[str, list[Answer]] = defaultdict(list)
        self._changed = threading.Condition()
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._channel = grpc.insecure_channel(address, options=[("grpc.max_receive_message_length", -1)])
        stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._call = stub.ModelStreamInfer(iter(self._requests.get, None))
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def close(self) -> None:
        """Go away, as a client does that has sessions open."""
        self._requests.put(None)
        self._call.cancel()
        self._reader.join(WAIT_SECONDS)
        self._channel.close()

    def exchange(self, request: WildRequest) -> list[Answer]:
        """Send a request and return what had been answered to it, under its id, once the router has handled it."""
        request_id = request.request_id or self._new_id()
        self._send(request, request_id)
        barrier = self._new_id()
        # The router handles requests in their order, and this one is always answered.
        unknown = Cancel(new_session_id())
        self._send(WildRequest(unknown.to_parameters(), {}), barrier)
        return self._wait(barrier) and self.answers(request_id)

    def open(self, request: WildRequest) -> Answer:
        """Send a request that is to open a session, and wait for its first answer."""
        request_id = request.request_id or self._new_id()
        self._send(request, request_id)
        return self._wait(request_id)[0]

    def answers(self, request_id: str) -> list[Answer]:
        """All answers so far to requests of an id."""
        with self._changed:
            return list(self._answers[request_id])

    def all_answers(self) -> list[Answer]:
        """All answers so far."""
        with self._changed:
            return [answer for answers in self._answers.values() for answer in answers]

    def _new_id(self) -> str:
        return f"request {next(self._numbers)}"

    def _wait(self, request_id: str) -> list[Answer]:
        with self._changed:
            assert self._changed.wait_for(lambda: self._answers[request_id], WAIT_SECONDS), f"no answer: {request_id}"
            return list(self._answers[request_id])

    def _send(self, request: WildRequest, request_id: str) -> None:
        wire = service_pb2.ModelInferRequest(model_name=MODEL, id=request_id)
        for name, value in request.parameters.items():
            parameter = wire.parameters[name]
            if isinstance(value, bool):
                parameter.bool_param = value
            elif isinstance(value, int):
                parameter.int64_param = value
            else:
                parameter.string_param = value
        for name, array in request.tensors.items():
            wire.inputs.add(name=name, datatype=_DATA_TYPES[array.dtype.type], shape=array.shape)
            wire.raw_input_contents.append(array.tobytes())
        self._requests.put(wire)

    def _read(self) -> None:
        try:
            for response in self._call:
                answer = _answer(response)
                with self._changed:
                    self._answers[response.infer_response.id].append(answer)
                    self._changed.notify_all()
        except grpc.RpcError:
            return


def _answer(response: Any) -> Answer:
    if text := response.error_message:
        code = _CODE.match(text)
        return Answer("failed", code=code[1] if code and code[1] in ErrorCode.__members__ else "", text=text)
    outputs = zip(response.infer_response.outputs, response.infer_response.raw_output_contents, strict=True)
    contents = {output.name: content for output, content in outputs}
    if "MESSAGE" not in contents:
        return Answer("sample")
    message = json.loads(contents["MESSAGE"])
    text = message.get("message", "")
    return Answer(message["kind"], message.get("session_id", ""), message.get("code", ""), text)
