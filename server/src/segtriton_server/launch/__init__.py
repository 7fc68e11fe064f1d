"""Starts Triton with this project's models: finds it, checks the machine, runs it, stops it.

Standard library only, and no other part of the server: what starts the server must still work, and say what is wrong,
where the server's own requirements are broken.
"""

from segtriton_server.launch.settings import LaunchSettings
from segtriton_server.launch.triton_process import TritonProcess

__all__ = ["LaunchSettings", "TritonProcess"]
