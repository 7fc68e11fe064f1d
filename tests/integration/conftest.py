"""The servers that the tests of this folder share."""

from servers import read_metrics, server, server_settings, small_server

__all__ = ["read_metrics", "server", "server_settings", "small_server"]
