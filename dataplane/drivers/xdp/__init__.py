"""The XDP driver: the compiled decision in the kernel, pinned."""
