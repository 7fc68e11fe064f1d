"""Memory, streams and kernels of a CUDA device, on torch and cuda.core.

It knows tensors and pictures; it must not know packets, networks, effects or sessions.
"""
