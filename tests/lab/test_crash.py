"""With XDP the kernel forwards on when the engine's process is killed."""

import signal

from dataplane.lab.laboratory import Lab
from tests.drivers import drivers_that_outlive
from tests.lab import plans

PORTS = range(20001, 20501)


@drivers_that_outlive
def test_a_killed_engine_loses_no_request_and_the_next_one_adopts_what_runs(lab: Lab, driver: str) -> None:
    client = lab.hosts["client"]
    asking = lab.start_asking(PORTS, "--interval", "0.01", "--timeout", "8")
    asking.until(100)
    lab.stop_engine(signal.SIGKILL)
    assert lab.status() is None
    for answered in (150, 200, 250):  # the dead engine's VIP is asked for by ARP again, and answered
        client.call("ip", "neigh", "flush", "all")
        asking.until(answered)
    lab.start_engine()
    told = lab.status()
    assert told is not None
    assert told["services"][0]["packets"] > 250 * 3, "the counters went on while nobody looked"
    assert lab.servers() == {node.address: "up" for node in lab.topology.servers}
    answers = asking.finish()
    assert [answer for answer in answers if answer.error] == []
    assert {a.port: a.server for a in answers} == plans.owners(lab.topology, PORTS, lab.topology.servers)

    dead = lab.topology.servers[0]  # the adopted engine is in command: it notices
    lab.stop_server(dead)
    lab.wait(lambda: lab.servers().get(dead.address) == "down", "the death of a server to be noticed")
    assert {answer.error for answer in lab.ask(PORTS[:100])} == {""}


@drivers_that_outlive
def test_a_restart_as_the_systemd_unit_does_it_loses_no_request(lab: Lab, driver: str) -> None:
    """The unit's RestartKillSignal ends the process alone, and the next one takes over."""
    asking = lab.start_asking(PORTS[:200], "--interval", "0.01", "--timeout", "8")
    for answered in (40, 80):
        asking.until(answered)
        assert lab.stop_engine(signal.SIGHUP) == 0
        asking.until(answered + 20)
        lab.start_engine()
    answers = asking.finish()
    assert [answer for answer in answers if answer.error] == []
    assert {a.port: a.server for a in answers} == plans.owners(lab.topology, PORTS[:200], lab.topology.servers)


@drivers_that_outlive
def test_a_stopped_engine_takes_everything_away(lab: Lab, driver: str) -> None:
    assert lab.stop_engine() == 0
    assert "xdp" not in lab.hosts["engine"].call("ip", "link", "show", "dev", "eth0")
    assert lab.hosts["engine"].call("ip", "rule", "show", "pref", "1000") == ""
