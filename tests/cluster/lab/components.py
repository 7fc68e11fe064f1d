"""What runs on the node: the command line of each component and the files that it reads.

Paths are those that the node sees; its mounts differ from the host's in what `lab.node_process` hides.
"""

import base64
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass

from lab.certificates import AUTHORITY, SERVICE_ACCOUNTS, USERS
from lab.packages import search_path
from lab.settings import (
    API_SERVER,
    CGROUP,
    CLUSTER_DOMAIN,
    NODE_ADDRESS,
    NODE_NAME,
    POD_NETWORK,
    SERVICE_NETWORK,
    State,
)
from lab.toolchain import KUBERNETES, build, command

ETCD = "http://127.0.0.1:2379"
PAUSE_IMAGE = "localhost/segtriton/pause:1"
CNI_PROGRAMS = "/usr/lib/cni"


@dataclass(frozen=True)
class Component:
    """One daemon of the node."""

    name: str
    command: tuple[str, ...]
    needs_api: bool = False


def options(**values: object) -> tuple[str, ...]:
    """`--long-name=value` for each keyword."""
    return tuple(f"--{name.replace('_', '-')}={value}" for name, value in values.items())


def program(name: str) -> str:
    """The path of a program that a Debian package brought."""
    return shutil.which(name, path=search_path()) or name


def components(state: State) -> list[Component]:
    """All of them, in the order in which they start."""
    return [
        etcd(state),
        Component(
            "containerd",
            (
                program("containerd"),
                *options(
                    config=state.configuration / "containerd.toml",
                    address=state.containerd_socket,
                    root=state.root / "containerd",
                    state=state.root / "containerd-state",
                ),
            ),
        ),
        api_server(state),
        controller_manager(state),
        Component(
            "kube-scheduler",
            (
                kubernetes("kube-scheduler"),
                *options(kubeconfig=state.kubeconfig("scheduler"), leader_elect="false", bind_address="127.0.0.1"),
            ),
            needs_api=True,
        ),
        Component(
            "kubelet",
            (
                kubernetes("kubelet"),
                *options(
                    config=state.configuration / "kubelet.json",
                    kubeconfig=state.kubeconfig("kubelet"),
                    hostname_override=NODE_NAME,
                    node_ip=NODE_ADDRESS,
                ),
            ),
            needs_api=True,
        ),
        Component(
            "kube-proxy",
            (kubernetes("kube-proxy"), *options(config=state.configuration / "kube-proxy.json")),
            needs_api=True,
        ),
        Component("coredns", (str(command("coredns")), "-conf", str(state.configuration / "Corefile")), needs_api=True),
        Component(
            "network-policies",
            (
                str(command("network-policies")),
                *options(
                    kubeconfig=state.kubeconfig("network-policies"),
                    hostname_override=NODE_NAME,
                    service_cluster_ip_range=SERVICE_NETWORK,
                ),
            ),
            needs_api=True,
        ),
    ]


def kubernetes(name: str) -> str:
    """The path of one of Kubernetes' own programs."""
    return str(build(KUBERNETES) / name)


def etcd(state: State) -> Component:
    """The store; a test's data need not outlive a power cut."""
    arguments = options(
        data_dir=state.root / "etcd",
        listen_client_urls=ETCD,
        advertise_client_urls=ETCD,
        listen_peer_urls="http://127.0.0.1:2380",
        log_level="warn",
    )
    return Component("etcd", (program("etcd"), "--unsafe-no-fsync", *arguments))


def api_server(state: State) -> Component:
    """The API, with what KEDA's metrics need: the aggregation layer with a client certificate of its own."""
    folder = state.certificates
    arguments = options(
        etcd_servers=ETCD,
        advertise_address=NODE_ADDRESS,
        secure_port=6443,
        service_cluster_ip_range=SERVICE_NETWORK,
        tls_cert_file=folder / "apiserver.crt",
        tls_private_key_file=folder / "apiserver.key",
        client_ca_file=folder / f"{AUTHORITY}.crt",
        service_account_issuer=f"https://kubernetes.default.svc.{CLUSTER_DOMAIN}",
        service_account_key_file=folder / f"{SERVICE_ACCOUNTS}.key",
        service_account_signing_key_file=folder / f"{SERVICE_ACCOUNTS}.key",
        authorization_mode="Node,RBAC",
        enable_admission_plugins="NodeRestriction",
        allow_privileged="true",
        kubelet_certificate_authority=folder / f"{AUTHORITY}.crt",
        kubelet_client_certificate=folder / "apiserver-to-kubelet.crt",
        kubelet_client_key=folder / "apiserver-to-kubelet.key",
        kubelet_preferred_address_types="InternalIP",
        requestheader_client_ca_file=folder / f"{AUTHORITY}.crt",
        requestheader_allowed_names="front-proxy",
        requestheader_username_headers="X-Remote-User",
        requestheader_group_headers="X-Remote-Group",
        requestheader_extra_headers_prefix="X-Remote-Extra-",
        proxy_client_cert_file=folder / "front-proxy.crt",
        proxy_client_key_file=folder / "front-proxy.key",
    )
    return Component("kube-apiserver", (kubernetes("kube-apiserver"), *arguments))


def controller_manager(state: State) -> Component:
    """All controllers; each acts with a service account of its own, as in any cluster."""
    folder = state.certificates
    arguments = options(
        kubeconfig=state.kubeconfig("controller-manager"),
        leader_elect="false",
        bind_address="127.0.0.1",
        use_service_account_credentials="true",
        service_account_private_key_file=folder / f"{SERVICE_ACCOUNTS}.key",
        root_ca_file=folder / f"{AUTHORITY}.crt",
        cluster_signing_cert_file=folder / f"{AUTHORITY}.crt",
        cluster_signing_key_file=folder / f"{AUTHORITY}.key",
    )
    return Component("kube-controller-manager", (kubernetes("kube-controller-manager"), *arguments), needs_api=True)


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
