"""The cluster, asked in Kubernetes' own JSON. The only module that knows the client library."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import kubernetes
import kubernetes.stream
import urllib3.exceptions
import websocket
import yaml
from kubernetes.client.exceptions import ApiException

Json = dict[str, Any]

_MERGE_PATCH = "application/merge-patch+json"
_SECONDS = 30
_PAGE_SECONDS = 10
_ERROR_CHANNEL = 3
_CHUNK = 1 << 16


class ClusterError(Exception):
    """What the cluster refused, or that there is none; `status` is HTTP's, 0 where nothing answered."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class AbsentError(ClusterError):
    """What was asked for is not there, or the cluster does not know its kind."""


class Cluster:
    """One cluster and one namespace of it; every method raises ClusterError."""

    def __init__(self, configuration: Any, namespace: str, *, dry_run: bool = False) -> None:
        self.namespace = namespace
        self.dry_run = dry_run
        self._configuration = configuration
        self._api = kubernetes.client.ApiClient(configuration)

    @classmethod
    def connect(cls, kubeconfig: Path | None, context: str, namespace: str, *, dry_run: bool) -> Cluster:
        """Take the cluster of a kubeconfig, or inside a pod its own."""
        configuration = kubernetes.client.Configuration()
        inside = "KUBERNETES_SERVICE_HOST" in os.environ and not kubeconfig and "KUBECONFIG" not in os.environ
        try:
            if inside:
                kubernetes.config.load_incluster_config(client_configuration=configuration)
                own = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace").read_text(encoding="utf-8")
            else:
                file = str(kubeconfig) if kubeconfig else None
                kubernetes.config.load_kube_config(file, context or None, client_configuration=configuration)
                contexts, active = kubernetes.config.list_kube_config_contexts(file)
                chosen = next((entry for entry in contexts if entry["name"] == context), active)
                own = chosen["context"].get("namespace", "default")
        except (kubernetes.config.ConfigException, OSError, yaml.YAMLError) as error:
            raise ClusterError(f"No cluster: {error} Name one with --kubeconfig and --context.") from None
        return cls(configuration, namespace or own, dry_run=dry_run)

    def get(self, path: str, **query: str) -> Json:
        """Return an object or a list, `/api/v1/nodes`."""
        found: Json = self._call("GET", path, query)
        return found

    def items(self, path: str, **query: str) -> list[Json]:
        """Return the objects of a list."""
        return list(self.get(path, **query).get("items", ()))

    def find(self, path: str, **query: str) -> list[Json]:
        """Return the objects of a list, none where the cluster does not know their kind."""
        with contextlib.suppress(AbsentError):
            return self.items(path, **query)
        return []

    def patch(self, path: str, body: Json) -> Json:
        """Merge into an object; in a dry run the cluster checks it and keeps nothing."""
        changed: Json = self._call("PATCH", path, self._if_dry(), body, content=_MERGE_PATCH)
        return changed

    def create(self, path: str, body: Json) -> Json:
        """Create an object, or a request such as an eviction; in a dry run the cluster only checks it."""
        made: Json = self._call("POST", path, self._if_dry(), body)
        return made

    def read_log(self, pod: str, container: str, *, lines: int, previous: bool = False) -> str:
        """Return the last lines of a container's log."""
        query = {"container": container, "tailLines": str(lines), "previous": str(previous).lower()}
        text: str = self._call("GET", self.path("pods", f"{pod}/log"), query, as_text=True)
        return text

    def read_page(self, pod: str, port: int, page: str) -> str:
        """Return a page that a pod serves to itself."""
        try:
            with contextlib.closing(self.open_port(pod, port)) as socket:
                socket.settimeout(_PAGE_SECONDS)
                return _get(socket, page)
        except (OSError, http.client.HTTPException) as error:
            raise ClusterError(f"{pod} does not give {page} on port {port}: {error}") from None

    def open_port(self, pod: str, port: int) -> Any:
        """Return a socket to a pod's port; it goes through the kubelet, whatever network policies say."""
        # The library changes the client while it connects, so each gets one of its own.
        core = kubernetes.client.CoreV1Api(kubernetes.client.ApiClient(self._configuration))
        connect = core.connect_get_namespaced_pod_portforward
        try:
            return kubernetes.stream.portforward(connect, pod, self.namespace, ports=str(port)).socket(port)
        except (ApiException, OSError, urllib3.exceptions.HTTPError) as error:
            raise ClusterError(f"Port {port} of {pod} is not reached: {_reason(error)}") from None

    def execute(self, pod: str, container: str, command: Sequence[str], given: IO[bytes] | None = None) -> str:
        """Run a command in a container, give it a file's bytes, and return what it prints.

        Kubernetes cannot tell the command that nothing follows: it must know how many bytes to take.
        """
        core = kubernetes.client.CoreV1Api(kubernetes.client.ApiClient(self._configuration))
        streams = {"stdin": given is not None, "stdout": True, "stderr": True, "tty": False}
        request = {"container": container, "command": list(command), **streams, "_preload_content": False}
        try:
            run = kubernetes.stream.stream(core.connect_get_namespaced_pod_exec, pod, self.namespace, **request)
            with contextlib.closing(run):
                with contextlib.suppress(OSError, websocket.WebSocketException):  # it ended early, and says why
                    while given and run.is_open() and (chunk := given.read(_CHUNK)):
                        run.write_stdin(chunk)
                        run.update()
                run.run_forever()
                result = json.loads(run.read_channel(_ERROR_CHANNEL) or '{"message": "the connection broke"}')
                text, trouble = run.read_stdout(), run.read_stderr().strip()
        except (ApiException, OSError, ValueError, websocket.WebSocketException) as error:
            raise ClusterError(f"{command[0]} does not run in {pod}: {_reason(error)}") from None
        if result.get("status") != "Success":
            raise ClusterError(f"{command[0]} fails in {pod}: {trouble or result['message']}")
        return str(text)

    def delete(self, path: str, **query: str) -> None:
        """Delete an object; one that is gone already is no error."""
        with contextlib.suppress(AbsentError):
            self._call("DELETE", path, {**self._if_dry(), **query})

    def path(self, kind: str, name: str = "", group: str = "") -> str:
        """Return the path of a kind, or of one object, in the namespace; group as in `apps/v1`."""
        root = f"/apis/{group}" if group else "/api/v1"
        return f"{root}/namespaces/{self.namespace}/{kind}{f'/{name}' if name else ''}"

    def _if_dry(self) -> dict[str, str]:
        return {"dryRun": "All"} if self.dry_run else {}

    def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Json | None = None,
        *,
        content: str = "application/json",
        as_text: bool = False,
    ) -> Any:
        headers = {"Accept": "*/*" if as_text else "application/json", "Content-Type": content}
        try:
            response = self._api.call_api(
                path,
                method,
                query_params=list(query.items()),
                header_params=headers,
                body=body,
                auth_settings=["BearerToken"],
                _preload_content=False,
                _return_http_data_only=True,
                _request_timeout=_SECONDS,
            )
        except ApiException as error:
            refusal = AbsentError if error.status == http.client.NOT_FOUND else ClusterError
            raise refusal(_reason(error), error.status or 0) from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise ClusterError(f"{self._configuration.host} does not answer: {error}") from None
        text = response.data.decode("utf-8", "replace")
        return text if as_text else json.loads(text)


def _get(socket: Any, page: str) -> str:
    connection = http.client.HTTPConnection("127.0.0.1")
    connection.sock = socket
    connection.request("GET", page, headers={"Connection": "close"})
    answer = connection.getresponse()
    text = answer.read().decode("utf-8", "replace")
    if answer.status != http.client.OK:
        raise http.client.HTTPException(f"it answers {answer.status}")
    return text


def _reason(error: Exception) -> str:
    """Return what the API server says in its body, which is more than the status."""
    if isinstance(error, ApiException):
        try:
            return str(json.loads(error.body or "")["message"])
        except (ValueError, KeyError, TypeError):
            return f"{error.status} {error.reason}"
    return str(error) or type(error).__name__
