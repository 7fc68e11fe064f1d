import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from segtriton_server.launch.drain import active_streams, main
from segtriton_server.services.drain_order import DrainOrder, Order
from segtriton_server.services.keep_order import KeepOrder

PAGE = """# TYPE segtriton_active_streams gauge
segtriton_active_streams{{model="selfie_streaming",version="1"}} {}
segtriton_active_streams{{model="other_streaming",version="1"}} {}
segtriton_stream_slots{{model="selfie_streaming",version="1"}} 10
"""

Count = Callable[[], int]


@pytest.fixture
def drain_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "draining"
    monkeypatch.setenv("SEGTRITON_DRAIN_FILE", str(path))
    return path


@pytest.fixture
def serve_metrics() -> Iterator[Callable[[Count], str]]:
    """Give the address of a page that says how many sessions there are, by a function of the test's."""
    servers: list[ThreadingHTTPServer] = []

    def serve(count: Count) -> str:
        class Page(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(PAGE.format(count(), 0).encode())

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), Page))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}/metrics"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def drain(url: str, delay: float = 0, wait: float = 30) -> None:
    main(["--endpoint-delay", str(delay), "--max-wait", str(wait), "--metrics-url", url])


def test_waits_until_the_last_session_is_gone(
    drain_file: Path, serve_metrics: Callable[[Count], str], caplog: pytest.LogCaptureFixture
) -> None:
    left = iter([2, 1, 1, 0])
    orders: list[Order] = []

    def count() -> int:
        orders.append(DrainOrder(str(drain_file)).read())
        return next(left)

    with caplog.at_level("INFO"):
        drain(serve_metrics(count))

    assert "drained: 0 sessions left" in caplog.text
    assert len(orders) == 4
    assert all(order.migrates and 0 < order.within_seconds <= 30 for order in orders)


def test_refuses_new_sessions_before_it_asks_those_that_it_has_to_go(
    drain_file: Path, monkeypatch: pytest.MonkeyPatch, serve_metrics: Callable[[Count], str]
) -> None:
    slept: list[tuple[float, Order]] = []
    monkeypatch.setattr("time.sleep", lambda seconds: slept.append((seconds, DrainOrder(str(drain_file)).read())))

    drain(serve_metrics(lambda: 0), delay=7, wait=9)

    assert slept == [(7, Order(drains=True))]
    assert DrainOrder(str(drain_file)).read().migrates


def test_sessions_get_their_whole_time_after_the_delay(
    drain_file: Path, monkeypatch: pytest.MonkeyPatch, serve_metrics: Callable[[Count], str]
) -> None:
    clock = [100.0]
    orders: list[tuple[float, Order]] = []

    def sleep(seconds: float) -> None:
        clock[0] += seconds
        orders.append((clock[0], DrainOrder(str(drain_file)).read()))

    monkeypatch.setattr("time.sleep", sleep)
    monkeypatch.setattr("time.monotonic", lambda: clock[0])

    drain(serve_metrics(lambda: 3), delay=7, wait=2)

    told = [moment for moment, order in orders if order == Order(drains=True, migrates=True, within_seconds=2)]
    assert (told[0], told[-1]) == (107.25, 109)


def test_sessions_that_do_not_go_are_left_to_their_fate(
    drain_file: Path, serve_metrics: Callable[[Count], str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        drain(serve_metrics(lambda: 3), wait=0.5)
    assert "drained: 3 sessions left" in caplog.text


def test_a_server_that_is_gone_has_no_sessions(drain_file: Path) -> None:
    assert active_streams("http://127.0.0.1:1/metrics") == 0
    drain("http://127.0.0.1:1/metrics")
    assert drain_file.exists()


@pytest.mark.parametrize("path", ["", "/nowhere/draining"])
def test_without_a_drain_file_it_says_so_and_fails(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGTRITON_DRAIN_FILE", path)
    with pytest.raises(SystemExit, match="segtriton-drain: "):
        drain("http://127.0.0.1:1/metrics")


def test_to_keep_some_sessions_is_another_order_and_does_not_wait(
    drain_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", pytest.fail)

    main(["--keep", "3", "--max-wait", "20"])

    keep = KeepOrder(str(drain_file)).read()
    assert keep is not None
    assert keep.sessions == 3
    assert 0 < keep.seconds_left <= 20
    assert DrainOrder(str(drain_file)).read() == Order()
    main(["--keep", "3", "--max-wait", "0"])
    assert KeepOrder(str(drain_file)).read() is None
