"""What is wrong with a server, found out by asking it from the engine."""
