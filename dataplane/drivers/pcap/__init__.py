"""The pcap driver: the decision on packet sockets."""
