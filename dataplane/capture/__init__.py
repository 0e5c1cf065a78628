"""Captures as files: frames in front of and behind the decision, each with its verdict, as pcapng or pcap."""
