"""The client of etcd, against real members."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from dataplane.cluster import address, etcd
from dataplane.cluster import operations as op
from dataplane.cluster.address import StoreAddress
from dataplane.cluster.answers import KEY_NOT_FOUND, Compacted
from dataplane.errors import ClusterError

from .members import Members

pytestmark = pytest.mark.root


def test_a_key_is_created_once(member: Members) -> None:
    def body() -> None:
        etcd = member.client()
        create = [op.absent("/once")], [op.put("/once", b"first")], [op.get("/once")]
        assert etcd.txn(*create).succeeded
        again = etcd.txn(*create)
        assert not again.succeeded
        ((found,),) = again.found
        assert (found.value, found.created, found.lease) == (b"first", again.revision, 0)
        assert not etcd.txn([op.unchanged("/once", found.changed - 1)], [op.delete("/once")]).succeeded
        assert etcd.txn([op.unchanged("/once", found.changed)], [op.delete("/once")]).succeeded
        assert etcd.get("/once") == []

    member.run(body)


def test_a_key_that_is_kept_outlives_its_lease_and_one_that_is_gone_cannot_be_kept(member: Members) -> None:
    def body() -> None:
        etcd = member.client()
        lease = etcd.lease(60)
        etcd.put("/kept", b"\0\xff" * 50_000, lease=lease)
        etcd.put("/lost", b"", lease=lease)
        etcd.txn((), [op.keep("/kept")])
        assert etcd.keep_alive(lease)
        etcd.revoke(lease)
        assert not etcd.keep_alive(lease)
        (found,) = etcd.get("/kept", op.following("/kept"))
        assert (found.value, found.lease) == (b"\0\xff" * 50_000, 0)
        with pytest.raises(ClusterError, match=KEY_NOT_FOUND):
            etcd.txn((), [op.keep("/lost")])

    member.run(body)


def test_a_watch_tells_what_changed_from_a_revision_on_and_that_it_is_compacted(member: Members) -> None:
    def body() -> None:
        etcd = member.client()
        first = etcd.txn((), [op.put("/w/1", b"")]).revision
        etcd.put("/w/2", b"")
        etcd.put("/other", b"")
        etcd.put("/v", b"")
        told = sorted(key for keys in etcd.watch([("/w/", "/w0"), ("/v", "")], first, 0.3) for key in keys)
        assert told == ["/v", "/w/1", "/w/2"]
        etcd.compact(first + 1)
        etcd.compact(first + 1)
        with pytest.raises(Compacted) as caught:
            list(etcd.watch([("/w/", "/w0"), ("/v", "")], first, 0.3))
        assert caught.value.revision == first + 1

    member.run(body)


@pytest.mark.parametrize(
    "operations", [[op.put("/large", b"x" * (1800 << 10))], [op.put(f"/{i}", b"") for i in range(129)]]
)
def test_what_etcd_refuses_is_told_with_the_member(member: Members, operations: list[op.Json]) -> None:
    with pytest.raises(ClusterError, match=r"etcd at 127\.0\.0\.1:2379: etcdserver: (request is too|too many oper)"):
        member.run(lambda: member.client().txn((), operations))


def test_members_that_do_not_answer_are_gone_round_or_named(tmp_path: Path) -> None:
    with Members(tmp_path / "etcd") as members:
        other = replace(members.address("test"), endpoints=(("127.0.0.9", 2379), ("127.0.0.1", 2379)))

        def body() -> None:
            etcd = members.client(10.0, other)
            etcd.put("/there", b"")
            etcd.patience = 0.5
            members.stop(0)
            with pytest.raises(ClusterError) as stands:
                etcd.put("/there", b"")
            assert "127.0.0.1:2379: no answer in time" in stands.value.what
            assert stands.value.uncertain
            members.kill(0)
            with pytest.raises(ClusterError) as dead:
                etcd.put("/there", b"")
            assert "127.0.0.1:2379: Connection refused" in dead.value.what
            assert "127.0.0.9:2379: Connection refused" in dead.value.what
            etcd.patience = 20.0
            members.start(0)
            assert etcd.get("/there")

        members.run(body)


def test_a_member_with_tls_and_users(secured: Members, certificates: Path, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("secret\n")
    password.chmod(0o600)
    fields = {"user": "avi", "password_file": str(password), "ca": f"{certificates}/member.pem"}

    def body() -> None:
        etcd = secured.client(10.0, secured.address("test", **fields))
        etcd.put("/avi/test/x", b"1")
        assert list(etcd.watch([("/avi/", "/avi0")], 1, 0.2))[0] == ["/avi/test/x"]
        with pytest.raises(ClusterError, match="permission denied"):
            etcd.put("/other", b"")
        assert etcd.status(("127.0.0.1", 2379))["version"].startswith("3.")
        assert etcd.alarms() == []
        secured.kill(0)
        secured.start(0)
        etcd.patience = 20.0
        assert etcd.get("/avi/test/x"), "the member knows no token any more"
        etcd.patience = 10.0
        list(etcd.watch([("/avi/", "/avi0")], 1, 0.2))
        assert etcd.get("/avi/test/x")

    def ask(address: StoreAddress, patience: float = 10.0) -> None:
        secured.client(patience, address).get("/avi/x")

    secured.run(body)
    for wrong, told in (
        ({"ca": f"{certificates}/stranger.pem"}, "certificate verify failed"),
        ({"ca": ""}, "127.0.0.1:2379: "),
        ({"ca": "/nowhere"}, "/nowhere: No such file"),
        ({"user": ""}, "user name is empty"),
        ({"password_file": ""}, "user avi has a password"),
        ({"password_file": "/nowhere"}, "/nowhere: No such file"),
    ):
        address = secured.address("test", **{**fields, **wrong})
        with pytest.raises(ClusterError, match=told):
            secured.run(partial(ask, address, 10.0 if "user" in told else 0.5))
    password.write_text("wrong\n")
    with pytest.raises(ClusterError, match="authentication failed, invalid user ID or password"):
        secured.run(lambda: ask(secured.address("test", **fields)))  # it hashes passwords, which takes its time
    password.chmod(0o644)
    with pytest.raises(ClusterError, match="others may read the password"):
        secured.run(lambda: secured.client(0.5, secured.address("test", **fields)).get("/avi/x"))


def test_the_member_of_this_host_is_asked_first() -> None:
    far, here, named = ("192.0.2.1", 2379), ("127.0.0.7", 2379), ("localhost", 2379)
    assert etcd.nearest(StoreAddress((far, here), "c")) == 1
    assert etcd.nearest(StoreAddress((far, named), "c")) == 0  # names are not asked for


class TestAddress:
    def test_forms(self) -> None:
        found = address.parse("etcd://avi@h1,[fd00::1]:2380,h3:79/prod", "/p", "ca.pem")
        assert found.endpoints == (("h1", 2379), ("fd00::1", 2380), ("h3", 79))
        assert (found.cluster, found.user, found.ca) == ("prod", "avi", f"{Path.cwd()}/ca.pem")
        assert address.parse(found.url, found.password_file, found.ca) == found

    @pytest.mark.parametrize(
        ("url", "told"),
        [
            ("http://h1/c", "expected etcd://"),
            ("etcd://h1", "expected etcd://"),
            ("etcd://h1/", "expected etcd://"),
            ("etcd://h1/a/b", "expected etcd://"),
            ("etcd://h1,/c", "'' is no HOST"),
            ("etcd://h1:0/c", "'h1:0' is no HOST"),
            ("etcd://h1:99999/c", "'h1:99999' is no HOST"),
            ("etcd://u:p@h1/c", "--store-password-file"),
        ],
    )
    def test_what_is_none(self, url: str, told: str) -> None:
        with pytest.raises(ValueError, match=told):
            address.parse(url)

    def test_a_state_directory_remembers_it(self, tmp_path: Path) -> None:
        assert address.remembered(tmp_path) is None
        found = address.parse("etcd://h1/c", "/p", "/ca")
        address.remember(tmp_path, found)
        assert address.remembered(tmp_path) == found
        (tmp_path / "cluster.json").write_text("{}")
        with pytest.raises(ClusterError, match=r"cluster.json: 'store'"):
            address.remembered(tmp_path)
        assert (address.forget(tmp_path), address.forget(tmp_path)) == (True, False)
