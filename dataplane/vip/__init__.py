"""VIPs on their segments: announced, defended, and who else claims them."""
