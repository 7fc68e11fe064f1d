"""Frames in, composites out; what is particular to this model stands in config.pbtxt."""

from segtriton_server.adapters.frames_model import TritonPythonModel

__all__ = ["TritonPythonModel"]
