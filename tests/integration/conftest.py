"""The servers that the tests of this folder share."""

from servers import guarded_server, read_metrics, server, server_settings, small_server

__all__ = ["guarded_server", "read_metrics", "server", "server_settings", "small_server"]
