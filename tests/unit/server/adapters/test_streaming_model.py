"""The adapter to the streamed model: a request that cannot be read or answered ends by itself."""

from __future__ import annotations

import pytest
from triton_python_backend_utils import InferenceRequest, InferenceResponse, InferenceResponseSender

from segtriton_server.adapters.streaming_model import TritonPythonModel
from segtriton_server.services.authorizer import Authorizer
from segtriton_server.settings import Settings


class UnreadableRequest(InferenceRequest):
    """One with a header that is no UTF-8."""

    def parameters(self) -> str:
        return b"\xff\xfe".decode()


class NoRoom(InferenceResponseSender):
    """Takes final flags only."""

    def send(self, response: InferenceResponse | None = None, flags: int = 0) -> None:
        if response is not None:
            raise RuntimeError("Failed to increase the shared memory pool size")
        super().send(response, flags)


class Service:
    """Refuses in words, or fails."""

    def __init__(self) -> None:
        self.handled: list[str] = []

    def handle(self, request_id: str, parameters: object, tensors: object, responder: object, tenant: str) -> None:
        self.handled.append(request_id)
        if request_id == "failing":
            raise RuntimeError("broken")


@pytest.fixture
def model() -> TritonPythonModel:
    model = TritonPythonModel()
    model._authorizer = Authorizer(Settings())
    model._service = Service()  # type: ignore[assignment]
    return model


def test_every_request_ends_whatever_the_others_are(model: TritonPythonModel) -> None:
    unreadable, failing, good = UnreadableRequest(), InferenceRequest(request_id="failing"), InferenceRequest()
    mute = UnreadableRequest()
    mute.response_sender = NoRoom()
    model.execute([unreadable, failing, mute, good])

    (answer,) = unreadable.response_sender.sent
    assert answer.error() is not None
    assert "INVALID_MESSAGE" in answer.error().message()  # type: ignore[union-attr]
    assert all(request.response_sender.is_final for request in (unreadable, failing, mute))
    assert model._service.handled == ["failing", ""]  # type: ignore[attr-defined]
