"""Servers as the integration tests have them, for worse treatment."""

from servers import read_metrics, server, server_settings, small_server

__all__ = ["read_metrics", "server", "server_settings", "small_server"]
