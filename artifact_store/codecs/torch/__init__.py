"""Tensors as safetensors, and the trees that hold them as JSON."""
