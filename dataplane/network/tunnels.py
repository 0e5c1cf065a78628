"""The two kinds of tunnel to servers, by mode: their names and their IP protocols."""

from __future__ import annotations

from dataplane.forwarding.rewrite import IPPROTO_GRE, IPPROTO_IPIP
from dataplane.plan import L3_GRE, L3_IPIP

NAMES = {L3_IPIP: "IP-in-IP", L3_GRE: "GRE"}
PROTOCOLS = {L3_IPIP: IPPROTO_IPIP, L3_GRE: IPPROTO_GRE}
NAMES_BY_PROTOCOL = {PROTOCOLS[mode]: name for mode, name in NAMES.items()}
