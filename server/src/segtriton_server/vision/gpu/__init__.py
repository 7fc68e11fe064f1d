"""Pixels on a GPU: the network's input, the mask's edges and the effects, with CV-CUDA and kernels of our own."""
