"""An operator captures: a virtual service by `debug virtualservice`, drops by `debug serviceengine`, and looks."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from avi_shell.configuration.configuration import Configuration
from avi_shell.output.result import Table
from avi_shell.session.session import Session
from dataplane.lab import demo
from dataplane.lab.laboratory import Lab
from dataplane.lab.namespaces import inside
from tests.drivers import REFERENCE
from tests.lab import plans
from tests.polling import until

pytestmark = pytest.mark.root


@pytest.fixture
def lab() -> Iterator[Lab]:
    with plans.new_lab("l2_dsr", REFERENCE) as made:
        made.start_engine()
        made.start_servers()
        made.configure()
        made.wait_ready()
        yield made


def test_an_operator_captures_a_service_and_what_an_engine_drops(lab: Lab, tmp_path: Path) -> None:
    engine, vip = lab.topology.engine_name, lab.topology.vip
    with closing(Configuration.open(lab.state)) as configuration:
        session = Session(configuration, lab.state)

        def typed(*lines: str) -> list[Any]:
            for line in lines:
                result = session.run(line)
                assert result.ok, (line, result.error)
            return [part for part in result.parts if not isinstance(part, Table)]

        def shown(line: str) -> list[dict[str, Any]]:
            result = session.run(line)
            assert result.ok, (line, result.error)
            data: list[dict[str, Any]] = result.data
            return data

        (service,) = configuration.names("virtualservice", "admin")
        assert not shown(f"show virtualservice {service} capture")
        told = session.run(f"show virtualservice {service} capture packets").error
        assert told is not None
        assert "there is no capture on this host" in str(told)

        opened = f"debug virtualservice {service}", "capture", "capture_params num_pkts 4 pkt_size 0", "save"
        filters = "capture_filters tcp_syn", "save"
        began = typed(*opened, *filters, "save")
        assert f"{engine} captures {service} into {lab.state}/captures/{engine}/{service}@" in str(began[-1])
        demo.ask(lab, 6)
        until(lambda: not shown(f"show virtualservice {service} capture")[0]["running"])
        (row,) = shown(f"show virtualservice {service} capture")
        assert (row["ended"], row["packets"], row["verdicts"]) == ("4 packets", 4, {"forwarded": 4})
        held = shown(f"show virtualservice {service} capture packets")
        assert [one["where"] for one in held] == ["in front", "behind"] * 4
        servers = {node.address: node.mac for node in lab.topology.servers}
        for one in held:
            verdict, server, name = one["verdict"].split("; ")
            assert (verdict, name) == ("forwarded", f"virtual service {service}")
            mac = servers[server.removeprefix("server ")]
            assert one["mac"] == (mac if one["where"] == "behind" else lab.topology.engine.mac)
            assert one["packet"].startswith(f"IP / TCP {lab.topology.client.address}:")
            assert f" > {vip}:http S" in one["packet"]

        exported = session.run(f"export capture virtualservice {service} file {tmp_path / 'mine.pcapng'}")
        assert exported.ok, exported.error
        assert (tmp_path / "mine.pcapng").read_bytes() == Path(row["file"]).read_bytes()
        assert (tmp_path / "mine.pcapng").stat().st_mode & 0o777 == 0o600
        nothing = session.run(f"export capture serviceengine {engine} file {tmp_path / 'drops.pcapng'}")
        assert "there is no capture on this host" in str(nothing.error)
        assert not (tmp_path / "drops.pcapng").exists()

        assert "captures" in str(
            typed(f"debug virtualservice {service}", "capture_params num_pkts 0", "save", "save")[-1]
        )
        assert shown(f"show virtualservice {service} capture")[0]["running"]
        refused = typed(f"debug serviceengine {engine} debug_pcap_drop")
        assert f"a capture of {service} runs: one at a time can: it captures nothing" in str(refused[-1])
        ended = typed(f"debug virtualservice {service}", "no capture", "save")
        assert f"{engine} captured 0 packets into " in str(ended[-1])

        typed(f"debug serviceengine {engine} debug_pcap_drop 1")
        inside(lab.hosts["client"], partial(_stray, vip))
        until(lambda: not shown(f"show serviceengine {engine} capture")[0]["running"])
        (drop,) = shown(f"show serviceengine {engine} capture packets")
        assert drop["verdict"] == "dropped; reason no_service"
        assert f"UDP {lab.topology.client.address}:" in drop["packet"]
        assert typed(f"debug serviceengine {engine} no debug_pcap_drop")[-1].startswith(
            f"{engine} captured 1 packet into"
        )

        for line in ("debug serviceengine nobody debug_pcap_drop", "show serviceengine nobody capture"):
            assert "no service engine 'nobody' runs" in str(session.run(line).error)
        typed("configure session", *opened[:2])
        assert "begins when this is saved outside" in str(typed("save")[-1])
        typed("discard session")


def _stray(vip: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
        wire.sendto(b"nobody is there", (vip, 81))
