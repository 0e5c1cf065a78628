"""The kernel's BPF objects through libbpf: programs, maps, links, pins. A thin layer; it knows nothing of forwarding.

Everything that fails raises DriverError with the kernel's or libbpf's own words.
"""
