"""The forwarding half: plan in, packets out. Knows nothing of the shell or its object model.

plan         what crosses from configuration to forwarding: one flat document a service
hashing      the consistent hash table and the flow hash
forwarding   the values a driver forwards by: VIPs, services, pools, servers, interfaces
decision     what happens to one frame, as a pure function: the reference
drivers      xdp (the decision in C, in the kernel), pcap (the same C on AF_PACKET sockets)
network      links, addresses, neighbours, as rtnetlink tells them
health       monitors on the data's path
engine       the daemon that joins them; client asks it
server, lab  the pool member's side; a laboratory of network namespaces
"""
