import threading

from segtriton_protocol.tensors import Tensors
from segtriton_server.services.handled_requests import HandledRequests


class Responder:
    """Remembers which thread closed it, once it may."""

    def __init__(self, may_close: threading.Event | None = None) -> None:
        self.closed_by: list[threading.Thread] = []
        self._may_close = may_close

    def send(self, tensors: Tensors) -> None:
        raise AssertionError("nothing is to be sent")

    def fail(self, text: str) -> None:
        raise AssertionError("nothing has failed")

    def close(self) -> None:
        if self._may_close:
            assert self._may_close.wait(10)
        self.closed_by.append(threading.current_thread())

    def is_cancelled(self) -> bool:
        return False


def test_who_takes_requests_does_not_wait_for_their_ends() -> None:
    may_close = threading.Event()
    requests, responders = HandledRequests(), [Responder(may_close) for _ in range(3)]

    for responder in responders:
        requests.close_soon(responder)
    assert not any(responder.closed_by for responder in responders)
    may_close.set()
    requests.close()

    assert all(len(responder.closed_by) == 1 for responder in responders)
    assert threading.current_thread() not in responders[0].closed_by


def test_closing_sends_what_is_left_and_ends_the_thread() -> None:
    requests, responders = HandledRequests(), [Responder() for _ in range(50)]
    for responder in responders:
        requests.close_soon(responder)

    requests.close()

    assert all(len(responder.closed_by) == 1 for responder in responders)
    assert not responders[0].closed_by[0].is_alive()


def test_a_request_that_cannot_be_closed_costs_no_other() -> None:
    class Broken(Responder):
        def close(self) -> None:
            raise RuntimeError("Failed to increase the shared memory pool size")

    requests, responders = HandledRequests(), [Broken(), Responder()]
    for responder in responders:
        requests.close_soon(responder)
    requests.close()

    assert len(responders[1].closed_by) == 1
