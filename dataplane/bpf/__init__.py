"""BPF objects, programs, maps and links, by ctypes over libbpf and the bpf system call."""
