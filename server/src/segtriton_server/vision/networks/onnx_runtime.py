"""ONNX Runtime, told to keep to itself: import it from here only.

From version 1.29 on its builds for Linux send what they load and run to their maker unless the environment says
otherwise before they are loaded, and write a device's identity into the user's home.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime

__all__ = ["onnxruntime"]
