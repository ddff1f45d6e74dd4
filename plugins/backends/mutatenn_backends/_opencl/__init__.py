"""OpenCL: code, devices and their memory."""
