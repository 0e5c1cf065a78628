"""Which driver moves the frames."""
