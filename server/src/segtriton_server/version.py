"""The server's name and version, for replies and logs."""

from importlib.metadata import version

SERVER = f"segtriton-server {version('segtriton-server')}"
