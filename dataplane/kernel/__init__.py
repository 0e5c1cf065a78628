"""What the engine keeps in the kernel: one registry of it, watched, put back, taken away."""
