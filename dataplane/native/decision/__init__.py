"""The forwarding decision compiled for this processor, and its maps in memory that processes share."""
