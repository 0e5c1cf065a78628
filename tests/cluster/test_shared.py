"""A configuration that several hosts share, over real members of etcd."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from avi_shell.configuration import confirming, shared
from avi_shell.configuration.importing import import_
from avi_shell.configuration.record import Author, CommitRecord
from avi_shell.configuration.shared import Overtaken, SharedConfiguration
from avi_shell.errors import Conflict, InvalidObject, Refused, StoreError
from avi_shell.session.session import Session
from dataplane.cluster.answers import Compacted
from dataplane.cluster.housekeeping import Housekeeping
from dataplane.errors import ClusterError
from tests.configuration.addresses import address

from . import fleet
from .hosts import Hosts, Run, dump
from .members import Members

pytestmark = pytest.mark.root


def test_commits_of_two_hosts_are_the_same_on_both(hosts: Run) -> None:
    def body(hosts: Hosts) -> None:
        one, other = hosts.sites
        one.dsr("vs1", "10.0.0.100")
        other.dsr("vs2", "10.0.0.101")
        one.save("pool", name="vs2-pool", servers=[{"ip": address("10.1.9.9"), "port": 80}])
        one.configuration.rename("pool", "vs2-pool", "p2", "admin")
        other.configuration.delete("virtualservice", "vs1", "admin")
        other.save("vsvip", name="vs1-vip", vip=[{"ip_address": address("10.0.0.105")}])
        import_(one.configuration, {"Pool": [{"name": "i"}, {"name": "j"}], "Strange": [{"a": 1}], "Other": []})
        import_(other.configuration, {"Pool": [{"name": "k"}], "Strange": [{"a": 2}]})
        import_(
            one.configuration,
            {"Pool": [{"name": "l"}, {"name": "k", "description": "created after l, before m"}, {"name": "m"}]},
        )
        hosts.equal()
        assert other.configuration.find("virtualservice", "vs2", "admin") is not None
        assert one.configuration.version() == other.configuration.version() == hosts.open[0].log.last()

    hosts(body)


def test_what_one_host_committed_binds_the_other(hosts: Run) -> None:
    def body(hosts: Hosts) -> None:
        one, other = hosts.sites
        one.dsr("vs1", "10.0.0.100")
        hosts.open[1].follow()
        opened = other.configuration.find("pool", "vs1-pool", "admin")
        one.save("pool", name="vs1-pool", enabled=False)
        with pytest.raises(Conflict):
            other.configuration.save("pool", {**(opened or {}), "description": "x"}, "admin")
        with pytest.raises(InvalidObject, match="belongs to VirtualService vs1"):
            other.dsr("vs2", "10.0.0.100")
        with pytest.raises(Refused, match="Cannot delete"):
            other.configuration.delete("pool", "vs1-pool", "admin")
        hosts.equal()

    hosts(body)


def overtaken(hosts: Hosts, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """Before the first host's next commits reach the log, the second has one there."""
    log, left = hosts.open[0].log, iter(range(times))
    append = log.append

    def late(*arguments: Any) -> bool:
        for number in left:
            hosts.save(1, f"faster{times}{number}")
            break
        return append(*arguments)

    monkeypatch.setattr(log, "append", late)


def test_whoever_is_overtaken_commits_behind(hosts: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def body(hosts: Hosts) -> None:
        one, other = hosts.open
        overtaken(hosts, monkeypatch, 3)
        number = hosts.save(0, "slower")
        assert number == other.version() + 1 == hosts.open[0].log.last()
        assert one.commits == 1
        hosts.equal()
        overtaken(hosts, monkeypatch, 1)
        with pytest.raises(Overtaken), one.bulk("import") as (_, made):
            made.finish()
        hosts.equal()

    hosts(body)


def test_a_commit_without_an_answer_is_found_or_will_never_be(hosts: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def body(hosts: Hosts) -> None:
        etcd = hosts.open[0].log.etcd
        real, lost = etcd.txn, list[Any]()

        def silent(compare: Any, success: Any, failure: Any = ()) -> Any:
            if compare and "request_put" in success[0]:
                monkeypatch.setattr(etcd, "txn", real)
                lost.append((compare, success, failure))
                if arrives:
                    real(compare, success, failure)
                raise ClusterError("no answer in time", uncertain=True)
            return real(compare, success, failure)

        arrives = True
        monkeypatch.setattr(etcd, "txn", silent)
        number = hosts.save(0, "stored")
        hosts.equal()
        arrives = False
        monkeypatch.setattr(etcd, "txn", silent)
        with pytest.raises(StoreError, match="nothing was stored: no answer in time"):
            hosts.save(0, "lost")
        assert not real(*lost[-1]).succeeded, "it arrived after it was given up"
        assert hosts.open[0].version() == number == hosts.open[0].log.last()
        hosts.equal()

    hosts(body)


@pytest.mark.parametrize("expires", [False, True])
def test_a_commit_larger_than_etcd_takes(hosts: Run, monkeypatch: pytest.MonkeyPatch, expires: bool) -> None:
    def body(hosts: Hosts) -> None:
        etcd = hosts.open[0].log.etcd
        lease, granted = etcd.lease, list[int]()

        def short(seconds: int) -> int:
            granted.append(lease(seconds))
            return granted[-1]

        put = etcd.put

        def late(key: str, value: bytes, **options: int) -> None:
            put(key, value, **options)
            if key.endswith("/002") and len(granted) == 1:
                etcd.revoke(granted[0])

        monkeypatch.setattr(etcd, "lease", short)
        if expires:
            monkeypatch.setattr(etcd, "put", late)
        texts = random.Random(1)
        pools = [{"name": f"p{i}", "description": texts.randbytes(12_000).hex()} for i in range(150)]
        import_(hosts.open[0], {"Pool": pools})
        assert len(granted) == 1 + expires
        hosts.equal()
        assert len(hosts.open[1].names("pool", "admin")) == 150
        for id_ in granted:
            assert not etcd.keep_alive(id_)
        hosts.open[1].close()
        hosts.open[1] = SharedConfiguration.join(hosts.folders[1].with_name("new"), hosts.address)
        assert len(hosts.open[1].names("pool", "admin")) == 150

    hosts(body)


def test_a_watch_is_woken_and_survives_compaction(hosts: Run) -> None:
    def body(hosts: Hosts) -> None:
        one, other = hosts.open
        other.catch_up()
        watched = other.log.wait(10.0)
        hosts.save(0, "first")
        assert next(watched) is True
        del watched
        hosts.save(0, "second")
        keeping = Housekeeping(one.log.etcd, period=0.0)
        other_keeping = Housekeeping(other.log.etcd, period=0.0)
        one.catch_up()
        assert keeping.due(one.log.revision)
        assert not other_keeping.due(one.log.revision)
        assert keeping.due(one.log.revision)
        with pytest.raises(Compacted):
            next(other.log.wait(10.0))
        hosts.equal()
        assert list(other.log.wait(0.2)) == [False]

    hosts(body)


def test_a_session_shows_what_it_knows_while_etcd_is_away(hosts: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def body(hosts: Hosts) -> None:
        one, session = hosts.open[0], Session(hosts.open[0], hosts.folders[0])
        monkeypatch.setattr(shared, "_GLANCE", 0.2)
        monkeypatch.setattr(shared, "_SILENCE", 0.0)
        hosts.save(1, "p1")
        with monkeypatch.context() as away:
            away.setattr(one.log.etcd, "address", one.log.etcd.address.__class__((("127.0.0.9", 2379),), "x"))
            first, second = session.run("show pool"), session.run("show pool p1")
            assert first.ok
            assert [warning.split(": ")[:2] for warning in first.warnings] == [
                ["this is what is known here; other hosts may have changed it", "etcd does not answer"]
            ]
            assert (second.ok, second.warnings) == (False, [])
            session.run("configure pool p2")
            away.setattr(shared, "PATIENCE", 0.2)
            refused = session.run("save")
            assert str(refused.error).startswith("nothing was stored: etcd does not answer: 127.0.0.9:2379: Conn")
            assert session.mode == ["pool"]
        assert session.run("save").ok
        assert session.run("show pool p1").ok
        hosts.equal()

    hosts(body)


def test_a_role_on_the_cluster_s_keys_is_enough(secured: Members, certificates: Path, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("secret")
    password.chmod(0o600)
    options = {"user": "avi", "password_file": str(password), "ca": f"{certificates}/member.pem"}

    def body() -> None:
        with Hosts(tmp_path, secured.address("test", **options)) as hosts:
            hosts.save(0, "small")
            large = "".join(random.Random(1).choices("0123456789abcdef", k=2_000_000))
            import_(hosts.open[0], {"Pool": [{"name": f"p{i}", "description": large[i::3]} for i in range(3)]})
            hosts.equal()
            assert hosts.open[0].write_snapshot()
            assert Housekeeping(hosts.open[0].log.etcd, period=0.0).due(hosts.open[0].log.revision)
            hosts.save(1, "later")
            hosts.equal()
            asking = hosts.open[0].asking()
            assert asking.engines(5.0) == []
            assert list(asking.ask(["nobody"], {"request": "status"}, 0.2).silent) == ["nobody"]

    secured.run(body)


def test_what_waits_is_known_on_all_hosts_and_any_of_them_confirms_it(hosts: Run, tmp_path: Path) -> None:
    def body(hosts: Hosts) -> None:
        one, other = hosts.open
        one.save("pool", {"name": "p1"}, "admin", Author(confirm=60.0))
        other.save("pool", {"name": "p2"}, "admin", Author(confirm=90.0))
        waits = confirming.waiting(other)
        assert waits is not None
        assert (waits.commits, waits.seconds) == ((2, 3), 90.0)
        assert confirming.extend(one, 300.0, Author(user="alice")) == 4
        hosts.equal()
        later = confirming.waiting(other)
        assert later is not None
        assert later.deadline > waits.deadline + 200
        assert other.write_snapshot()
        new = SharedConfiguration.join(tmp_path / "new", hosts.address)
        assert confirming.waiting(new) == later
        kept, number = confirming.confirm(new, Author(user="bob"))
        new.close()
        assert (kept, number) == (later, 5)
        hosts.equal()
        assert confirming.waiting(one) is None
        with pytest.raises(Refused, match="nothing waits to be confirmed"):
            confirming.confirm(one)
        told = [(commit.action, commit.user) for commit in one.history(2)]
        assert told == [("confirm later", "alice"), ("confirm", "bob")]
        assert one.version() == 5

    hosts(body)


def test_what_a_host_of_an_older_release_commits_says_nothing_of_what_waits(
    hosts: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def body(hosts: Hosts) -> None:
        one, other = hosts.open
        one.save("pool", {"name": "tried"}, "admin", Author(confirm=60.0))
        before, told = confirming.waiting(one), CommitRecord.to_json

        def older(record: CommitRecord) -> dict[str, Any]:
            return {name: value for name, value in told(record).items() if name != "waits"}

        with monkeypatch.context() as old:
            old.setattr(CommitRecord, "to_json", older)
            other.save("pool", {"name": "others"}, "admin")
        hosts.equal()
        assert confirming.waiting(one) == before

    hosts(body)


def test_what_is_not_confirmed_is_undone_once_by_whoever_is_there(hosts: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def body(hosts: Hosts) -> None:
        one, other = hosts.open
        hosts.save(1, "others")
        one.follow()
        one.save("pool", {"name": "tried"}, "admin", Author(confirm=60.0))
        waits = confirming.waiting(one)
        assert waits is not None
        assert confirming.extend(other, 60.0)
        assert confirming.undo_over(one, waits.deadline) is None, "it has another deadline by now"
        waits = confirming.waiting(one)
        assert waits is not None
        etcd = one.log.etcd
        with monkeypatch.context() as away:
            away.setattr(etcd, "patience", 0.2)
            away.setattr(etcd, "address", etcd.address.__class__((("127.0.0.9", 2379),), etcd.address.cluster))
            with pytest.raises(StoreError, match="etcd does not answer"):
                confirming.undo_over(one, waits.deadline)
        overtaken(hosts, monkeypatch, 2)
        done = confirming.undo_over(one, waits.deadline)
        assert done is not None
        assert (done.fault, done.lost, len(done.kept)) == ("", (), 2)
        hosts.equal()
        assert confirming.waiting(other) is None
        assert confirming.undo_over(other, waits.deadline) is None
        assert other.names("pool", "admin") == ["faster20", "faster21", "others"]

    hosts(body)


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Members]:
    with Members(tmp_path_factory.mktemp("etcd") / "data", 3) as members:
        yield members


def test_commits_while_leaders_die(three: Members, tmp_path: Path) -> None:
    told = fleet.leaders(three, tmp_path, commits=20, most=2)
    assert told["stored"] >= 10
    assert told["leaders"] >= 1


def test_a_host_killed_between_the_commit_in_etcd_and_its_own(member: Members, tmp_path: Path) -> None:
    assert fleet.killed(member, tmp_path, 5) == 5


def test_without_a_quorum_nothing_is_stored(three: Members, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def body() -> None:
        with Hosts(tmp_path, three.address("quorum")) as hosts:
            hosts.save(0, "before")
            before = dump(hosts.folders[0])
            leader = three.leader()
            others = [index for index in range(3) if index != leader]
            for index in others:
                three.stop(index)
            with monkeypatch.context() as hurried:
                for name in ("PATIENCE", "_GLANCE"):
                    hurried.setattr(shared, name, 1.0)
                assert "etcd does not answer" in hosts.open[0].follow()
                with pytest.raises(StoreError, match="nothing was stored: etcd does not answer"):
                    hosts.save(0, "meanwhile")
            assert dump(hosts.folders[0]) == before
            assert hosts.open[0].names("pool", "admin") == ["before"]
            for index in others:
                three.go_on(index)
            for configuration in hosts.open:
                configuration.log.etcd.patience = 20.0
            hosts.save(0, "after")
            hosts.equal()

    three.run(body)
