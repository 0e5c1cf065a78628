"""The maps that the compiled decision reads, and their writers."""
