import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from segtriton_server.launch import LaunchSettings
from segtriton_server.launch.installation import STUB_NAME

# Stands for Triton: answers the question for health, ends in order on SIGTERM, and can be told to misbehave.
FAKE_TRITON = """#!{python} -I
import http.server, os, pathlib, signal, subprocess, sys, time
options = dict(argument.lstrip("-").partition("=")[::2] for argument in sys.argv[1:])
behaviour = os.environ.get("FAKE_TRITON", "")
print("fake triton", behaviour, flush=True)
if behaviour == "ends":
    sys.exit(3)
signal.signal(signal.SIGTERM, signal.SIG_IGN if behaviour == "deaf" else lambda *_: os._exit(0))
if behaviour == "leaves a child":
    child = subprocess.Popen(["sleep", "60"])
    pathlib.Path(os.environ["CHILD_PID"]).write_text(str(child.pid))
class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/v2/health/ready" and behaviour != "never ready" else 400)
        self.end_headers()
    def log_message(self, *_):
        pass
http.server.HTTPServer((options["http-address"], int(options["http-port"])), Health).serve_forever()
"""


@pytest.fixture
def fake_triton(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Puts the stand-in first on PATH; returns its root."""
    root = tmp_path / "triton"
    scripts = {
        root / "bin/tritonserver": FAKE_TRITON.format(python=sys.executable),
        root / "backends/python" / STUB_NAME: "#!/bin/sh\nexit 1\n",
    }
    for path, script in scripts.items():
        path.parent.mkdir(parents=True)
        path.write_text(script)
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{root / 'bin'}:/usr/bin:/bin")
    return root


@pytest.fixture
def make_settings(tmp_path: Path, fake_triton: Path) -> Callable[..., LaunchSettings]:
    """Builds settings for the stand-in, which may be told how to misbehave."""

    def build(behaviour: str = "", **changes: object) -> LaunchSettings:
        environment = {"FAKE_TRITON": behaviour, "CHILD_PID": str(tmp_path / "child.pid")}
        chosen: dict[str, object] = {
            "model_repository": tmp_path,
            "models": (),
            "grpc_port": 0,
            "http_port": 0,
            "metrics_port": 0,
            "log_path": tmp_path / "log" / "triton.log",
            "environment": environment,
            **changes,
        }
        return LaunchSettings(**chosen)  # type: ignore[arg-type]

    return build
