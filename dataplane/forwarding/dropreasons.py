"""Why packets for a VIP are dropped. Each reason has a counter of its own."""

DROP_REASONS = (
    "malformed",
    "bad_source",
    "looped",
    "vip_down",
    "fragment_unknown",
    "fragment_short",
    "icmp_unsupported",
    "icmp_unmatched",
    "no_service",
    "no_server",
    "no_next_hop",
    "too_big_l2",
    "too_big_rate_limited",
    "encap_failed",
    "transmit_failed",
    "too_big_unreported",
)
"""Every reason a packet for a VIP is dropped for; the position is the reason's number in the maps' counters."""

MISTAKEN = "internal_error"
"""The reason of packets that a driver drops because of an error of its own, which it reports."""
TX_LOST = "tx_lost"
"""The reason of frames that an interface's network driver did not take: they are counted as forwarded, too."""
OVERRUN = "overrun"
"""The reason of frames that came faster than the pcap driver took them: nothing was decided about them."""
