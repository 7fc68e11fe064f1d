"""Names, addresses and folders of the lab, in one place."""

import os
from dataclasses import dataclass
from pathlib import Path

CLUSTER_FOLDER = Path(__file__).resolve().parents[1]
REPOSITORY = CLUSTER_FOLDER.parents[1]
TOOLS_FOLDER = CLUSTER_FOLDER / "tools"
MANIFESTS = CLUSTER_FOLDER / "manifests"
KUBECONFIG = REPOSITORY / ".cluster" / "kubeconfig"

NODE_NAME = "segtriton"
LINK = "segtriton0"
# A corner of the private network that homes, offices and the defaults of container engines seldom use.
NETWORK = "10.201.0.0/16"
HOST_ADDRESS = "10.201.0.1"
NODE_ADDRESS = "10.201.0.2"
POD_NETWORK = "10.201.1.0/24"
SERVICE_NETWORK = "10.201.2.0/24"
FIRST_SERVICE_ADDRESS = "10.201.2.1"
CLUSTER_DOMAIN = "cluster.local"
API_SERVER = f"https://{NODE_ADDRESS}:6443"

CGROUP = "segtriton-cluster"
PYTHON_IMAGE = "localhost/segtriton/python:3.11"


def cache_folder() -> Path:
    """Where everything stays that another run can use again."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("SEGTRITON_CACHE") or Path(base) / "segtriton")


@dataclass(frozen=True)
class State:
    """The folder of one running cluster; gone when the cluster is."""

    root: Path

    @classmethod
    def of_environment(cls) -> "State":
        """The folder that `SEGTRITON_CLUSTER_STATE` names, or the usual one."""
        return cls(Path(os.environ.get("SEGTRITON_CLUSTER_STATE", "/var/lib/segtriton-cluster")).resolve())

    @property
    def certificates(self) -> Path:
        """Keys and certificates of every component."""
        return self.root / "certificates"

    @property
    def configuration(self) -> Path:
        """Files that the components read."""
        return self.root / "configuration"

    @property
    def logs(self) -> Path:
        """One file for each component, and `pods`."""
        return self.root / "logs"

    @property
    def hidden(self) -> Path:
        """What the node sees in place of some folders of the host."""
        return self.root / "hidden"

    @property
    def containerd_socket(self) -> Path:
        """Where containerd listens."""
        return self.root / "containerd.sock"

    @property
    def node_record(self) -> Path:
        """Which process the node is, and what of the host it changed."""
        return self.root / "node.json"

    @property
    def loaded_images(self) -> Path:
        """One file for each image that the node has; in it, which build."""
        return self.root / "images"

    def kubeconfig(self, user: str) -> Path:
        """The kubeconfig of one component, or of `admin`."""
        return self.configuration / f"{user}.kubeconfig"
