"""The cluster's keys and certificates: one authority, one certificate for each component, good for a month."""

from dataclasses import dataclass
from pathlib import Path

from lab.settings import CLUSTER_DOMAIN, FIRST_SERVICE_ADDRESS, NODE_ADDRESS, NODE_NAME
from lab.shell import run

DAYS = "30"
SERVICE_ACCOUNTS = "service-accounts"
AUTHORITY = "authority"


@dataclass(frozen=True)
class Identity:
    """Who a certificate is for: to Kubernetes, the common name is the user and the organization the group."""

    file: str
    common_name: str
    organization: str = ""
    names: tuple[str, ...] = ()

    @property
    def subject(self) -> str:
        """As openssl wants it."""
        return (f"/O={self.organization}" if self.organization else "") + f"/CN={self.common_name}"


API_SERVER_NAMES = (
    f"IP:{NODE_ADDRESS}",
    f"IP:{FIRST_SERVICE_ADDRESS}",
    "IP:127.0.0.1",
    "DNS:localhost",
    "DNS:kubernetes",
    "DNS:kubernetes.default",
    "DNS:kubernetes.default.svc",
    f"DNS:kubernetes.default.svc.{CLUSTER_DOMAIN}",
)
# Those whose `file` is a user of the API by itself; each has a kubeconfig.
USERS = (
    Identity("admin", "admin", "system:masters"),
    Identity("controller-manager", "system:kube-controller-manager"),
    Identity("scheduler", "system:kube-scheduler"),
    Identity("kubelet", f"system:node:{NODE_NAME}", "system:nodes", (f"IP:{NODE_ADDRESS}", f"DNS:{NODE_NAME}")),
    Identity("kube-proxy", "system:kube-proxy"),
    Identity("coredns", "coredns"),
    Identity("network-policies", "network-policies"),
)
SERVERS_AND_CLIENTS = (
    Identity("apiserver", "kube-apiserver", names=API_SERVER_NAMES),
    Identity("apiserver-to-kubelet", "apiserver-to-kubelet", "system:masters"),
    Identity("front-proxy", "front-proxy"),
)


def make(folder: Path) -> None:
    """Makes everything anew."""
    folder.mkdir(parents=True, exist_ok=True)
    make_authority(folder)
    for identity in (*USERS, *SERVERS_AND_CLIENTS):
        issue(folder, identity)
    run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", folder / f"{SERVICE_ACCOUNTS}.key")


def new_key(path: Path) -> list[str | Path]:
    """Options that make a fresh, unencrypted key; elliptic curves, for RSA keys take seconds to find."""
    return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", path]


def make_authority(folder: Path) -> None:
    """The authority that everybody trusts."""
    key, certificate = folder / f"{AUTHORITY}.key", folder / f"{AUTHORITY}.crt"
    authority = ("-subj", f"/CN={NODE_NAME}", "-addext", "keyUsage=critical,keyCertSign,digitalSignature")
    run("openssl", "req", "-x509", *new_key(key), "-out", certificate, "-days", DAYS, *authority)


def issue(folder: Path, identity: Identity) -> None:
    """One key and its certificate."""
    key, certificate = folder / f"{identity.file}.key", folder / f"{identity.file}.crt"
    signer: tuple[str | Path, ...] = ("-CA", folder / f"{AUTHORITY}.crt", "-CAkey", folder / f"{AUTHORITY}.key")
    extensions = [
        "basicConstraints=critical,CA:FALSE",
        "keyUsage=digitalSignature",
        "extendedKeyUsage=serverAuth,clientAuth",
    ]
    if identity.names:
        extensions.append(f"subjectAltName={','.join(identity.names)}")
    added = [argument for extension in extensions for argument in ("-addext", extension)]
    subject = ("-days", DAYS, "-subj", identity.subject)
    run("openssl", "req", "-x509", *signer, *new_key(key), "-out", certificate, *subject, *added)
