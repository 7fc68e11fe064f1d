"""A real one-node Kubernetes for tests, made of pinned Go modules and Debian packages; no container engine is needed.

The node is one process with namespaces of its own (process ids, mounts, network): etcd, containerd, the control plane,
kubelet, kube-proxy and CoreDNS run in it, with every container. When that process ends, the kernel ends and undoes all
of it, so taking the cluster down cannot leave processes, mounts, links or firewall rules behind, however it was left.

This package builds tools and runs the cluster. It knows nothing of the chart, and its tests are beside it, not in it.
"""
