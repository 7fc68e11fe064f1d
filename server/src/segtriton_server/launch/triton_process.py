"""One running Triton, from its start to its end."""

import contextlib
import http.client
import logging
import os
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from segtriton_server.launch.environment import triton_environment
from segtriton_server.launch.errors import ServerExitedError
from segtriton_server.launch.installation import TritonInstallation, find_triton
from segtriton_server.launch.preflight import (
    check_models,
    check_numpy,
    check_port,
    check_stub,
    warn_of_little_shared_memory,
)
from segtriton_server.launch.settings import LaunchSettings

LOGGER = logging.getLogger(__name__)

POLL_SECONDS = 0.05
# Those of servers that have ended are not missed: there are thousands.
_GIVEN_PORTS: set[int] = set()
# What Triton may need to stop beyond the time that running requests are given.
EXIT_GRACE_SECONDS = 10.0
LOG_TAIL_LINES = 25
WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}
# A client whose network was cut says nothing: it is asked every 20 s, and gone where it has not answered 10 s later.
# Triton's own default is 2 hours, and it ends connections of clients who ask more often than every 5 minutes.
KEEPALIVE = (
    "--grpc-keepalive-time=20000",
    "--grpc-keepalive-timeout=10000",
    "--grpc-http2-max-pings-without-data=0",
    "--grpc-http2-min-recv-ping-interval-without-data=10000",
)
# Calls that run code, write files or tell of other clients; what streams and asks for health needs none of them.
ADMIN_CALLS = "shared-memory,model-config,model-repository,statistics,trace,logging"
LOG_FLAGS = {
    "error": ("--log-info=false", "--log-warning=false"),
    "warning": ("--log-info=false",),
    "info": (),
    "verbose": ("--log-verbose=1",),
}


class TritonProcess:
    """A Triton that serves this project's models; as a context manager, ready inside and gone after.

        with TritonProcess(LaunchSettings(model_repository=Path("triton_models"), grpc_port=0)) as server:
            client = connect(server.grpc_address)

    Triton runs in a process group of its own: a Ctrl-C on the terminal reaches it only through `stop`,
    and nothing that its models start outlives it.
    """

    def __init__(self, settings: LaunchSettings) -> None:
        """Chooses the ports that were left open; starts nothing yet."""
        self.settings = with_free_ports(settings)
        self._process: subprocess.Popen[bytes] | None = None
        self._resources = contextlib.ExitStack()

    @property
    def grpc_address(self) -> str:
        """`host:port` for gRPC clients."""
        return join_address(self._client_host, self.settings.grpc_port)

    @property
    def http_url(self) -> str:
        """The root of Triton's HTTP interface."""
        return f"http://{join_address(self._client_host, self.settings.http_port)}"

    @property
    def metrics_url(self) -> str:
        """Where the metrics are read."""
        return f"http://{join_address(self._client_host, self.settings.metrics_port)}/metrics"

    @property
    def log_path(self) -> Path | None:
        """Triton's log, if it goes to a file."""
        return self.settings.log_path

    @property
    def pid(self) -> int:
        """The process id of tritonserver."""
        return self._running.pid

    def start(self) -> None:
        """Checks the machine and starts Triton; does not wait for it.

        Raises:
            TritonError: It cannot run here; the message says what to do.
        """
        with contextlib.ExitStack() as resources:
            installation = find_triton()
            environment = triton_environment(self.settings)
            self._check(installation, environment)
            folder = Path(resources.enter_context(tempfile.TemporaryDirectory(prefix="segtriton-backends-")))
            command = build_command(installation.binary, installation.link_backends(folder), self.settings)
            output = None
            if self.settings.log_path is not None:
                self.settings.log_path.parent.mkdir(parents=True, exist_ok=True)
                output = resources.enter_context(self.settings.log_path.open("wb"))
            self._process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT if output else None,
                start_new_session=True,
            )
            self._resources = resources.pop_all()

    def wait_ready(self) -> None:
        """Waits until every model is loaded.

        Raises:
            ServerExitedError: Triton ended, or took longer than `ready_timeout_seconds`.
        """
        deadline = time.monotonic() + self.settings.ready_timeout_seconds
        while not self.is_ready():
            if (status := self.poll()) is not None:
                raise ServerExitedError(f"Triton ended with status {status} before it was ready.", self.log_tail())
            if time.monotonic() > deadline:
                waited = self.settings.ready_timeout_seconds
                raise ServerExitedError(f"Triton was not ready after {waited:g} s.", self.log_tail())
            time.sleep(POLL_SECONDS)

    def is_ready(self) -> bool:
        """Whether Triton says that it and its models are ready."""
        connection = http.client.HTTPConnection(self._client_host, self.settings.http_port, timeout=2)
        try:
            connection.request("GET", "/v2/health/ready")
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def poll(self) -> int | None:
        """Triton's exit status, None while it runs."""
        return self._running.poll()

    def wait(self) -> int:
        """Waits until Triton ends by itself or by a signal; returns its exit status."""
        return self._running.wait()

    def kill(self) -> None:
        """Ends Triton and all that its models started, at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._running.pid, signal.SIGKILL)

    def stop(self) -> int:
        """Ends Triton, in order if it can, and whatever its models left behind; may be called again.

        An interrupt while it waits ends everything at once.

        Returns:
            Its exit status; 0 if it ended in order.
        """
        process = self._running
        try:
            process.terminate()
            process.wait(self.settings.exit_timeout_seconds + EXIT_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            LOGGER.warning("Triton did not stop in time and is killed")
        finally:
            self.kill()
            self._resources.close()
        return process.wait()

    def log_tail(self) -> str:
        """The last lines of the log, nothing if it goes to the terminal."""
        if self.log_path is None or not self.log_path.is_file():
            return ""
        lines = self.log_path.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-LOG_TAIL_LINES:])

    def __enter__(self) -> "TritonProcess":
        """Starts Triton and waits until it is ready."""
        self.start()
        try:
            self.wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stops Triton."""
        self.stop()

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("Triton has not been started.")
        return self._process

    @property
    def _client_host(self) -> str:
        return WILDCARDS.get(self.settings.address, self.settings.address)

    def _check(self, installation: TritonInstallation, environment: dict[str, str]) -> None:
        check_models(self.settings)
        check_numpy(installation)
        check_stub(installation, environment)
        check_port(self.settings.address, self.settings.grpc_port, "--grpc-port")
        check_port(self.settings.address, self.settings.http_port, "--http-port")
        check_port(self.settings.address, self.settings.metrics_port, "--metrics-port")
        warn_of_little_shared_memory()


def build_command(binary: Path, backends: Path, settings: LaunchSettings) -> list[str]:
    """The command line of tritonserver.

    Models are named one by one: otherwise Triton takes every folder of the repository for a model. Nothing completes
    their configuration: that would run each model once more before it is loaded. The headers that are passed on to
    models are those that carry who asks and for which session.
    """
    return [
        str(binary),
        f"--model-repository={settings.model_repository.absolute()}",
        f"--backend-directory={backends}",
        "--model-control-mode=explicit",
        *(f"--load-model={model}" for model in settings.models),
        "--disable-auto-complete-config",
        f"--grpc-address={settings.address}",
        f"--grpc-port={settings.grpc_port}",
        "--grpc-header-forward-pattern=(authorization|segtriton-.*)",
        f"--http-address={settings.address}",
        f"--http-port={settings.http_port}",
        "--http-header-forward-pattern=(authorization|segtriton-.*)",
        f"--metrics-address={settings.address}",
        f"--metrics-port={settings.metrics_port}",
        f"--exit-timeout-secs={settings.exit_timeout_seconds}",
        *KEEPALIVE,
        *restrictions(settings.admin_key),
        *LOG_FLAGS[settings.log_level],
        *settings.triton_args,
    ]


def restrictions(admin_key: str) -> tuple[str, ...]:
    """The arguments that shut administrative calls to those without the key, none where it is empty.

    Triton takes the key from its command line only, which every process of the machine can read.
    """
    if not admin_key:
        return ()
    restricted = f"{ADMIN_CALLS}:segtriton-admin-key={admin_key}"
    return (f"--grpc-restricted-protocol={restricted}", f"--http-restricted-api={restricted}")


def with_free_ports(settings: LaunchSettings) -> LaunchSettings:
    """Replaces each port 0 by a free one, which no other server of this program gets before Triton has opened it."""
    names = [name for name in ("grpc_port", "http_port", "metrics_port") if getattr(settings, name) == 0]
    family = socket.AF_INET6 if ":" in settings.address else socket.AF_INET
    ports: dict[str, Any] = {}
    with contextlib.ExitStack() as held:
        while len(ports) < len(names):
            probe = held.enter_context(socket.socket(family, socket.SOCK_STREAM))
            probe.bind((settings.address, 0))
            port = probe.getsockname()[1]
            if port not in _GIVEN_PORTS:
                ports[names[len(ports)]] = port
                _GIVEN_PORTS.add(port)
    return replace(settings, **ports)


def join_address(host: str, port: int) -> str:
    """`host:port`, with brackets where the host has colons of its own."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
