"""Servers as the integration tests have them."""

from servers import read_metrics, server_settings

__all__ = ["read_metrics", "server_settings"]
