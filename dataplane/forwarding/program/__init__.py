"""The forwarding decision in C, and the other ends of its tunnels: sources, and the BPF objects built from them."""

from pathlib import Path

FOLDER = Path(__file__).parent
"""Where sources and objects are."""
DSR = FOLDER / "dsr.o"
"""The decision itself, as an XDP program."""
DECAPSULATION = FOLDER / "decap.o"
"""A pool member's end of IP-in-IP and GRE tunnels, for kernels without those devices."""
PROBE = FOLDER / "probe.o"
"""What puts the engine's probes into a tunnel."""
