"""The files that the node's components read; `lab.components` has their command lines."""

import base64
import json
from collections.abc import Mapping

from lab.certificates import AUTHORITY, USERS
from lab.settings import API_SERVER, CGROUP, CLUSTER_DOMAIN, NODE_ADDRESS, NODE_NAME, POD_NETWORK, State

PAUSE_IMAGE = "localhost/segtriton/pause:1"
CNI_PROGRAMS = "/usr/lib/cni"


def write_configuration(state: State) -> None:
    """Writes every file that a component reads."""
    folder = state.configuration
    (folder / "cni").mkdir(parents=True, exist_ok=True)
    for user in USERS:
        state.kubeconfig(user.file).write_text(kubeconfig(state, user.file))
        state.kubeconfig(user.file).chmod(0o600)
    (folder / "containerd.toml").write_text(containerd_configuration(state))
    (folder / "cni" / "10-lab.conflist").write_text(as_json(cni_configuration(state)))
    (folder / "kubelet.json").write_text(as_json(kubelet_configuration(state)))
    (folder / "kube-proxy.json").write_text(as_json(kube_proxy_configuration(state)))
    (folder / "Corefile").write_text(COREFILE.format(state=state, address=NODE_ADDRESS, domain=CLUSTER_DOMAIN))
    # Pods get nothing of the host's name service: whatever they need is in the cluster.
    (folder / "resolv.conf").write_text("")


def as_json(content: Mapping[str, object]) -> str:
    """Every reader of YAML here reads JSON."""
    return json.dumps(content, indent=2)


def kubeconfig(state: State, user: str) -> str:
    """A kubeconfig that holds its keys, so that it can be copied anywhere."""

    def inlined(name: str) -> str:
        return base64.b64encode((state.certificates / name).read_bytes()).decode()

    cluster = {"server": API_SERVER, "certificate-authority-data": inlined(f"{AUTHORITY}.crt")}
    credentials = {
        "client-certificate-data": inlined(f"{user}.crt"),
        "client-key-data": inlined(f"{user}.key"),
    }
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": NODE_NAME, "cluster": cluster}],
        "users": [{"name": user, "user": credentials}],
        "contexts": [{"name": NODE_NAME, "context": {"cluster": NODE_NAME, "user": user}}],
        "current-context": NODE_NAME,
    }
    return as_json(content)


def containerd_configuration(state: State) -> str:
    """A container runtime that leaves the system's own alone."""
    return f"""version = 2
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs"]

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  # Without CAP_SYS_RESOURCE, runc dies of an attempt to protect a sandbox better than its own parent.
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true

[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "{CNI_PROGRAMS}"
  conf_dir = "{state.configuration / "cni"}"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  SystemdCgroup = false
"""


def cni_configuration(state: State) -> dict[str, object]:
    """Each pod has a link of its own to the node, which routes: unlike a bridge, that needs nothing of the kernel."""
    addresses = {
        "type": "host-local",
        "dataDir": str(state.root / "pod-addresses"),
        "ranges": [[{"subnet": POD_NETWORK}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    return {
        "cniVersion": "0.4.0",
        "name": "lab",
        "plugins": [{"type": "ptp", "ipam": addresses}, {"type": "portmap", "capabilities": {"portMappings": True}}],
    }


def kubelet_configuration(state: State) -> dict[str, object]:
    """Limits that suit a small machine, and what a machine without systemd needs."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": NODE_ADDRESS,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(state.certificates / f"{AUTHORITY}.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{CGROUP}",
        # The lab runs where the machine still has the first version of control groups, too.
        "failCgroupV1": False,
        "clusterDNS": [NODE_ADDRESS],
        "clusterDomain": CLUSTER_DOMAIN,
        "containerRuntimeEndpoint": f"unix://{state.containerd_socket}",
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "failSwapOn": False,
        # No image may go: there is no registry to fetch it from again.
        "imageGCHighThresholdPercent": 100,
        "oomScoreAdj": 0,
        "podLogsDir": str(state.logs / "pods"),
        "resolvConf": str(state.configuration / "resolv.conf"),
        "serializeImagePulls": False,
        "tlsCertFile": str(state.certificates / "kubelet.crt"),
        "tlsPrivateKeyFile": str(state.certificates / "kubelet.key"),
    }


def kube_proxy_configuration(state: State) -> dict[str, object]:
    """Services by iptables; limits of connection tracking stay what the kernel has."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(state.kubeconfig("kube-proxy"))},
        "clusterCIDR": POD_NETWORK,
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "hostnameOverride": NODE_NAME,
        "iptables": {"minSyncPeriod": "0s"},
        "mode": "iptables",
        "oomScoreAdj": 0,
    }


COREFILE = """.:53 {{
    bind {address}
    errors
    kubernetes {domain} in-addr.arpa {{
        kubeconfig {state.configuration}/coredns.kubeconfig
        ttl 5
    }}
}}
"""
