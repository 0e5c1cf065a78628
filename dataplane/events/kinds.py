"""All sorts of events, each with its severity: the manual's table of them is made of these (`make manual`).

Error: something is not served, or an operator has to do something. Warning: it is served, with less to spare, or may
not be for long. Notice: it is as it should be again, or changed as configured. Info: what an engine does all the time.
"""

from __future__ import annotations

from dataplane.events.model import Kind, Severity

ALL: dict[str, Kind] = {}
"""By name."""


def _kind(name: str, severity: Severity, meaning: str) -> Kind:
    made = ALL[name] = Kind(name, severity, meaning)
    return made


_CRITICAL, _ERROR, _WARNING = Severity.CRITICAL, Severity.ERROR, Severity.WARNING
_NOTICE, _INFO = Severity.NOTICE, Severity.INFO

VIRTUALSERVICE_UP = _kind("virtualservice_up", _NOTICE, "a virtual service forwards to a server")
VIRTUALSERVICE_DOWN = _kind("virtualservice_down", _ERROR, "a virtual service has no server to forward to")
VIRTUALSERVICE_DISABLED = _kind("virtualservice_disabled", _NOTICE, "a virtual service was switched off")
POOL_UP = _kind("pool_up", _NOTICE, "enough servers of a pool are up")
POOL_DOWN = _kind("pool_down", _ERROR, "too few servers of a pool are up")
POOL_DISABLED = _kind("pool_disabled", _NOTICE, "a pool was switched off")
POOL_UNANSWERED = _kind("pool_unanswered", _WARNING, "clients of a pool get no answers")
POOL_ANSWERED = _kind("pool_answered", _NOTICE, "clients of a pool get answers again")
SERVER_UP = _kind("server_up", _NOTICE, "a server takes new connections")
SERVER_IMPAIRED = _kind("server_impaired", _WARNING, "a server is up, with something that an operator must know")
SERVER_DOWN = _kind("server_down", _WARNING, "a server takes no connections")
SERVER_DISABLED = _kind("server_disabled", _NOTICE, "a server was switched off")
SERVER_ENABLED = _kind("server_enabled", _NOTICE, "a server was switched on again")
SERVER_UNANSWERED = _kind("server_unanswered", _WARNING, "clients of a server get no answers")
SERVER_ANSWERED = _kind("server_answered", _NOTICE, "clients of a server get answers again")

VIP_ANNOUNCED = _kind("vip_announced", _NOTICE, "the engine announces a VIP, as it says")
VIP_WITHDRAWN = _kind("vip_withdrawn", _NOTICE, "the engine announces a VIP no longer: it is down, or another engine's")
VIP_SILENT = _kind("vip_silent", _INFO, "a VIP is not announced yet, or is down, or another engine's")
VIP_REMOVED = _kind("vip_removed", _NOTICE, "a VIP left the configuration, or this engine")
VIP_REFUSED = _kind("vip_refused", _ERROR, "a VIP is not announced: somebody else has it")
VIP_CLAIMED = _kind("vip_claimed", _ERROR, "somebody else announces a VIP, too")
VIP_RELEASED = _kind("vip_released", _NOTICE, "who announced a VIP, too, does so no longer")
SENDER_OFFLOADS = _kind("sender_offloads", _WARNING, "a client's host leaves work to a device that does not do it")

INTERFACE_GONE = _kind("interface_gone", _ERROR, "an interface is gone")
INTERFACE_REFUSED = _kind("interface_refused", _ERROR, "the driver does not take an interface")
INTERFACE_RENAMED = _kind("interface_renamed", _NOTICE, "an interface has another name")
LINK_LOST = _kind("link_lost", _ERROR, "an interface has lost its link")
LINK_BACK = _kind("link_back", _NOTICE, "an interface has its link again")
SENDING_FAILED = _kind("sending_failed", _ERROR, "no frame leaves by an interface")
SENDING_BACK = _kind("sending_back", _NOTICE, "frames leave by an interface again")
FRAMES_LOST = _kind("frames_lost", _WARNING, "an interface loses frames")

PEER_UP = _kind("peer_up", _NOTICE, "the session with a BGP peer is established")
PEER_LOST = _kind("peer_lost", _ERROR, "the session with a BGP peer is lost")
PEER_FLAPS = _kind("peer_flaps", _WARNING, "the session with a BGP peer is lost again and again")
PEER_SIGNATURES = _kind("peer_signatures", _WARNING, "a BGP peer has another password, or none")
BGP_REFUSED = _kind("bgp_refused", _ERROR, "the configuration of BGP cannot be had")
BGP_RESTARTED = _kind("bgp_restarted", _WARNING, "BIRD, or what keeps it, ended and was started again")
BGP_FAILED = _kind("bgp_failed", _ERROR, "BGP does not run")
BGP_WITHDRAWN = _kind("bgp_withdrawn", _WARNING, "routes were withdrawn while the engine was away")

ENGINE_STARTED = _kind("engine_started", _NOTICE, "the engine started")
ENGINE_NOT_STARTED = _kind("engine_not_started", _ERROR, "the engine could not start")
ENGINE_STOPPED = _kind("engine_stopped", _NOTICE, "the engine ended")
ENGINE_DIED = _kind("engine_died", _WARNING, "the run before this one ended without a word")
ENGINE_FAULT = _kind("engine_fault", _ERROR, "something unexpected failed in the engine, which goes on")
ENGINE_FAILED = _kind("engine_failed", _CRITICAL, "something unexpected ended the engine")
DRIVER_FALLBACK = _kind("driver_fallback", _WARNING, "another driver was taken than the first choice")
DRIVER_NOTE = _kind("driver_note", _NOTICE, "something that the driver cannot do or see here")
DRIVER_FAULT = _kind("driver_fault", _ERROR, "something failed in the driver, which goes on")
KERNEL_RESTORED = _kind("kernel_restored", _WARNING, "somebody removed what the engine keeps in the kernel")
KERNEL_MISSING = _kind("kernel_missing", _ERROR, "what the engine keeps in the kernel is missing")
KERNEL_BACK = _kind("kernel_back", _NOTICE, "what was missing in the kernel is there again")

CONFIGURATION_APPLIED = _kind("configuration_applied", _INFO, "a commit is in force")
CONFIGURATION_REFUSED = _kind("configuration_refused", _ERROR, "a commit could not be applied")
CONFIGURATION_DAMAGED = _kind("configuration_damaged", _ERROR, "a part of the configuration cannot be read")
CONFIGURATION_REPLACED = _kind("configuration_replaced", _WARNING, "the store is another one, or an older copy")
CONFIGURATION_UNDONE = _kind("configuration_undone", _NOTICE, "a commit that nobody confirmed was undone")
CONFIGURATION_NOT_UNDONE = _kind("configuration_not_undone", _ERROR, "such a commit could not be undone")
CONFIGURATION_NOT_FOLLOWED = _kind("configuration_not_followed", _ERROR, "other hosts' commits do not arrive")

MEMBER_JOINED = _kind("member_joined", _NOTICE, "another engine of the cluster is there")
MEMBER_LEFT = _kind("member_left", _WARNING, "another engine of the cluster is gone")
MEMBER_BACK = _kind("member_back", _NOTICE, "another engine is heard again")
MEMBER_SUSPECT = _kind("member_suspect", _WARNING, "another engine is not heard by some")
MEMBER_LOST = _kind("member_lost", _ERROR, "another engine is cut off or dead, and its VIPs go to others")
CLUSTER_LOST = _kind("cluster_lost", _ERROR, "this engine is no member of its cluster")
HEARTBEATS_FAILED = _kind("heartbeats_failed", _WARNING, "this engine's heartbeats do not reach others")
CLOCK_SKEWED = _kind("clock_skewed", _WARNING, "another engine's clock differs")
CHECKS_REST = _kind("checks_rest", _INFO, "a standby engine checks no servers")
CHECKS_BACK = _kind("checks_back", _NOTICE, "an engine checks its servers again")

CAPTURE_BEGAN = _kind("capture_began", _NOTICE, "packets are being captured")
CAPTURE_ENDED = _kind("capture_ended", _NOTICE, "a capture has ended")

HOOK_FAILED = _kind("hook_failed", _WARNING, "the program that is run on events failed, or events were too many for it")
EVENTS_NOT_KEPT = _kind("events_not_kept", _WARNING, "events cannot be written to the state directory")
