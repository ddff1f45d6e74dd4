"""CUDA: compilers, devices and their memory."""
