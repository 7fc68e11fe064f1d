"""Who reaches the pods and whom they reach, on a network that enforces it."""

import json

from client_pods import pod, run_in_a_pod
from lab.kubernetes import Json, Kubectl
from release import NAME, Release, name_of

# Says which of HOST:PORT can be connected to. The network learns of a new pod a moment after its start.
TRY = """
import json, socket, sys, time

def is_open(address):
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=3).close()
    except OSError:
        return False
    return True

for attempt in range(10):
    reached = [address for address in sys.argv[1:] if is_open(address)]
    if reached:
        break
    time.sleep(0.5)
print(json.dumps(reached))
"""
LISTEN = "import http.server as h; h.test(h.SimpleHTTPRequestHandler, port=8080)"


def labelled(manifest: Json, label: str) -> Json:
    manifest["metadata"]["labels"] = {"app": label}
    return manifest


def select(label: str) -> Json:
    return {"podSelector": {"matchLabels": {"app": label}}}


def test_only_those_who_may_reach_a_pod_and_it_reaches_only_names(
    release: Release, here: Kubectl, client_image: str
) -> None:
    # What is named in the values, and nobody of the defaults.
    monitoring = {"prometheus": None, "scraper": select("scraper")}
    release.install(networkPolicy={"clients": {"camera": select("camera")}, "monitoring": monitoring})
    [server] = release.pods()
    address = server["status"]["podIP"]
    ports = [f"{address}:{port}" for port in (8000, 8001, 8002)]

    def reached_by(label: str) -> list[str]:
        manifest = labelled(pod(label, client_image, "python3", "-c", TRY, *ports), label)
        reached: list[str] = json.loads(run_in_a_pod(here, manifest))
        return [port.rpartition(":")[2] for port in reached]

    assert reached_by("camera") == ["8001"]
    assert reached_by("scraper") == ["8002"]
    assert reached_by("stranger") == []
    # The client of `helm test` is let in by the chart itself.
    assert "Succeeded" in release.test()

    listener = labelled(pod("listener", client_image, "python3", "-c", LISTEN), "listener")
    listener["spec"]["containers"][0]["readinessProbe"] = {"tcpSocket": {"port": 8080}, "periodSeconds": 1}
    here.apply(listener)
    here.wait_for_pod("listener")
    there = f"{here.get('pod', 'listener')['status']['podIP']}:8080"
    assert there in here("exec", "listener", "--", "python3", "-c", TRY, there)
    assert there not in here("exec", name_of(server), "--", "python3", "-c", TRY, there)
    name = f"{NAME}-headless.{here.namespace}.svc.cluster.local"
    resolve = f"import socket; print(socket.gethostbyname({name!r}))"
    assert here("exec", name_of(server), "--", "python3", "-c", resolve).strip() == address
