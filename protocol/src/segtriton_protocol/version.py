"""The protocol's version: one integer, raised when an old peer would misunderstand a new one."""

PROTOCOL_VERSION = 1
