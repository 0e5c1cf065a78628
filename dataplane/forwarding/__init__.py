"""The forwarding decision as pure functions over values: the reference that every driver follows."""
