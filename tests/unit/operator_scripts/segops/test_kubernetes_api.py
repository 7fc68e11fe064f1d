import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import kubernetes
import pytest

from segtriton_ops.segops.kubernetes_api import AbsentError, Cluster, ClusterError
from segtriton_ops.segops.release import Release

HERE = "/here"
FORBIDDEN = "/forbidden"


class Answers(BaseHTTPRequestHandler):
    """An API server that has one list, guards one, and knows nothing else."""

    def do_GET(self) -> None:
        if self.path == HERE:
            status, body = 200, {"items": [{"kind": "Pod"}]}
        elif self.path == FORBIDDEN:
            status, body = 403, {"message": "you may not look"}
        else:
            status, body = 404, {"message": "there is no such thing"}
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_DELETE(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Tell nobody."""


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever).start()
        configuration = kubernetes.client.Configuration(f"http://127.0.0.1:{server.server_port}")
        yield Cluster(configuration, "video")
        server.shutdown()


def test_what_is_not_there_is_an_answer_to_who_looks_for_it_and_an_error_to_who_needs_it(cluster: Cluster) -> None:
    assert cluster.find("/nowhere") == []
    assert Release(cluster, "live").find_pod("gone") is None
    cluster.delete("/nowhere")
    with pytest.raises(AbsentError, match="there is no such thing"):
        cluster.get("/nowhere")


def test_what_is_refused_is_an_error_to_everybody(cluster: Cluster) -> None:
    assert cluster.find(HERE) == [{"kind": "Pod"}]
    for call in (cluster.get, cluster.find, cluster.delete):
        with pytest.raises(ClusterError, match="you may not look") as caught:
            call(FORBIDDEN)
        assert (type(caught.value), caught.value.status) == (ClusterError, 403)
