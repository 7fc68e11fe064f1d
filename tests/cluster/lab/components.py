"""What runs on the node: the command line of each component; `lab.configuration` writes what it reads.

Paths are those that the node sees; its mounts differ from the host's in what `lab.node_process` hides.
"""

import shutil
from dataclasses import dataclass

from lab.certificates import AUTHORITY, SERVICE_ACCOUNTS
from lab.packages import search_path
from lab.settings import CLUSTER_DOMAIN, NODE_ADDRESS, NODE_NAME, SERVICE_NETWORK, State
from lab.toolchain import KUBERNETES, build, command

ETCD = "http://127.0.0.1:2379"


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
