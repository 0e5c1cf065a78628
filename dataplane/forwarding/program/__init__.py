"""The forwarding decision in C, and the other ends of its tunnels: sources, and the BPF objects built from them."""

from pathlib import Path

FOLDER = Path(__file__).parent
"""Where sources and objects are."""
DSR = FOLDER / "dsr.o"
"""The decision itself, as an XDP program."""
DECAPSULATION = FOLDER / "decap.o"
"""A pool member's end of IP-in-IP and GRE tunnels, for kernels without those devices."""
PROBE = FOLDER / "probe.o"
"""The program that puts the engine's probes into a tunnel."""
LOSSES = FOLDER / "losses.o"
"""The programs that count the frames which network drivers lose after a verdict."""
PASS = FOLDER / "pass.o"
"""A program that lets everything pass: the far end of a veth needs one to take the frames that XDP sends."""
SENDERS = FOLDER / "senders.o"
"""The program that finds senders which leave checksums to their device."""
CAPTURE = FOLDER / "capture.o"
"""The decision with a capture in front of it and behind it."""
STEER = FOLDER / "steer.o"
"""The program that gives the DPDK driver's sockets the frames for VIPs."""
