"""Packets in, packets out; what is particular to this model stands in config.pbtxt."""

from segtriton_server.adapters.streaming_model import TritonPythonModel

__all__ = ["TritonPythonModel"]
