import pytest
from lab.kubernetes import Json, Kubectl
from lab.settings import PYTHON_IMAGE
from lab.shell import CommandError, run, wait_until

RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "runAsUser": 1000,
    "seccompProfile": {"type": "RuntimeDefault"},
}
SERVE = "import http.server as h; h.test(h.SimpleHTTPRequestHandler, port=8080)"
SERVE_METRICS = """
import http.server as h

class Metrics(h.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"lab_busy 6\\n")

h.HTTPServer(("", 8080), Metrics).serve_forever()
"""
# A Service follows its pods a moment later.
FETCH = """
import sys, time, urllib.request

for attempt in range(40):
    try:
        urllib.request.urlopen(sys.argv[1], timeout=5)
        sys.exit()
    except OSError as error:
        print(error)
        time.sleep(0.5)
sys.exit(1)
"""


def python_pod(name: str, *arguments: str, security: Json = RESTRICTED, **spec: object) -> Json:
    container = {
        "name": "python",
        "image": PYTHON_IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-c", *arguments],
        "workingDir": "/usr/share",
        "securityContext": security,
    }
    labels = {"app": name}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels},
        "spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [container], **spec},
    }


def service(name: str, **spec: object) -> Json:
    ports = [{"port": 80, "targetPort": 8080}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": "server"}, "ports": ports, **spec},
    }


@pytest.fixture
def server(here: Kubectl, python_image: str) -> str:
    pod = python_pod("server", SERVE)
    pod["spec"]["containers"][0]["readinessProbe"] = {"tcpSocket": {"port": 8080}, "periodSeconds": 1}
    here.apply(pod, service("server"), service("server-pods", clusterIP="None"))
    here.wait_for_pod("server")
    return "server"


def test_node_is_ready(kubectl: Kubectl) -> None:
    kubectl("wait", "--for=condition=Ready", "nodes", "--all", "--timeout=10s")


@pytest.mark.parametrize("name", ["server", "server-pods"])
def test_name_of_a_service_is_known_in_a_pod(here: Kubectl, server: str, name: str) -> None:
    here.apply(python_pod("asker", f"import socket; print(socket.gethostbyname({name!r}))"))
    here.wait_for_pod("asker", "Succeeded")
    pod = here.get("pod", server)["status"]["podIP"]
    expected = {"server": here.get("service", "server")["spec"]["clusterIP"], "server-pods": pod}
    assert here("logs", "asker").strip() == expected[name]


@pytest.mark.parametrize("port", ["server", "server-pods:8080"])
def test_service_reaches_a_pod(here: Kubectl, server: str, port: str) -> None:
    here.apply(python_pod("caller", FETCH, f"http://{port}/"))
    here.wait_for_pod("caller", "Succeeded")


def test_pod_reaches_itself_through_its_service(here: Kubectl, server: str) -> None:
    # By its short name a pod knows itself without asking anybody.
    here("exec", server, "--", "python3", "-c", FETCH, f"http://server.{here.namespace}.svc.cluster.local/")


def test_host_reaches_services_and_pods(here: Kubectl, server: str) -> None:
    addresses = (
        here.get("service", "server")["spec"]["clusterIP"],
        here.get("pod", server)["status"]["podIP"] + ":8080",
    )
    for address in addresses:
        run("python3", "-c", FETCH, f"http://{address}/")


def test_restricted_namespace_refuses_a_privileged_pod(here: Kubectl) -> None:
    with pytest.raises(CommandError, match="violates PodSecurity"):
        here.apply(python_pod("privileged", "pass", security={"privileged": True}))


def test_deleted_pod_is_told_and_ends_in_time(here: Kubectl, server: str) -> None:
    here("delete", "pod", server, "--timeout=20s")
    assert here.items("pods") == []


def test_keda_scales_on_what_prometheus_scrapes(
    here: Kubectl, python_image: str, keda: None, prometheus: None, namespace: str
) -> None:
    labels = {"app.kubernetes.io/name": "segtriton", "app": "busy"}
    pod = python_pod("busy", SERVE_METRICS)["spec"] | {"restartPolicy": "Always"}
    pod["containers"][0]["ports"] = [{"name": "metrics", "containerPort": 8080}]
    template = {"metadata": {"labels": labels}, "spec": pod}
    trigger = {
        "serverAddress": "http://prometheus.monitoring:9090",
        "query": f'max(lab_busy{{namespace="{namespace}"}})',
        "threshold": "2",
    }
    scaling = {"scaleTargetRef": {"name": "busy"}, "maxReplicaCount": 4, "pollingInterval": 5}
    here.apply(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "busy"},
            "spec": {"selector": {"matchLabels": labels}, "template": template},
        },
        {
            "apiVersion": "keda.sh/v1alpha1",
            "kind": "ScaledObject",
            "metadata": {"name": "busy"},
            "spec": {**scaling, "minReplicaCount": 1, "triggers": [{"type": "prometheus", "metadata": trigger}]},
        },
    )

    def has_three_ready() -> bool:
        return bool(here.get("deployment", "busy")["status"].get("readyReplicas") == 3)

    wait_until(
        "three pods are ready", has_three_ready, timeout_seconds=150, interval_seconds=2, explain=here.describe_trouble
    )
