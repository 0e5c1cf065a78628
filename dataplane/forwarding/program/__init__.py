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
LOSSES = FOLDER / "losses.o"
"""What counts the frames that network drivers lose after a verdict."""
PASS = FOLDER / "pass.o"
"""What the far end of a veth needs to take the frames that XDP sends: it lets everything pass."""
SENDERS = FOLDER / "senders.o"
"""What finds senders that leave checksums to their device."""
CAPTURE = FOLDER / "capture.o"
"""The decision with a capture in front of it and behind it."""
STEER = FOLDER / "steer.o"
"""What gives the DPDK driver's sockets the frames that are for VIPs."""
