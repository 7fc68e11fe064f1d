"""The way back to a client that keeps what is sent."""

from segtriton_protocol import ServerMessage, parse_response
from segtriton_protocol.tensors import Tensors


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
