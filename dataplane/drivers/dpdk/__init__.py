"""The DPDK driver: the compiled decision in a process of its own, on DPDK's ports."""
