"""Members that several tests share; each test uses a cluster or keys of its own in them."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .arpasking import Asking
from .hosts import Hosts, Run
from .members import Members, until
from .segment import Segment


@pytest.fixture(scope="module")
def member(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Members]:
    with Members(tmp_path_factory.mktemp("etcd") / "data") as members:
        yield members


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    make = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN={0} "
        "-addext subjectAltName=IP:127.0.0.1 -keyout {0}.key -out {0}.pem"
    )
    for name in ("member", "stranger"):
        subprocess.run(make.format(name), shell=True, check=True, cwd=folder, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory, certificates: Path) -> Iterator[Members]:
    """A member with TLS that asks for users."""
    options = ["--cert-file", f"{certificates}/member.pem", "--key-file", f"{certificates}/member.key"]
    with Members(tmp_path_factory.mktemp("etcd") / "data", options=options, scheme="https") as members:
        address = members.address("test", ca=f"{certificates}/member.pem")
        until(lambda: members.run(lambda: members.client(1.0, address).get("/") == []))

        def grant() -> None:
            plain = members.client(10.0, address)
            for path, told in (
                ("user/add", {"name": "root", "password": "r"}),
                ("user/add", {"name": "avi", "password": "secret"}),
                ("role/add", {"name": "avi"}),
                ("role/grant", {"name": "avi", "perm": {"permType": 2, "key": "L2F2aS8=", "range_end": "L2F2aTA="}}),
                ("user/grant", {"user": "avi", "role": "avi"}),
                ("user/grant", {"user": "root", "role": "root"}),
                ("enable", {}),
            ):
                plain._call(f"/v3/auth/{path}", told)

        members.run(grant)
        yield members


@pytest.fixture
def hosts(member: Members, tmp_path: Path) -> Run:
    """Runs a test with two hosts, in the namespace of their etcd."""

    def run(body: Callable[[Hosts], None]) -> None:
        def inside() -> None:
            with Hosts(tmp_path, member.address(f"c{tmp_path.name}"[:40])) as hosts:
                body(hosts)

        member.run(inside)

    return run


@pytest.fixture
def asking(request: pytest.FixtureRequest, there: Segment) -> Iterator[Asking]:
    """Clients that ask for the module's VIPS all the while; each VIP has an owner. there: the module's engines."""
    vips: list[str] = request.module.VIPS
    with Asking(there.spaces["client"], vips) as made:
        for address in vips:
            there.owner(made, address)
        made.rounds.clear()
        yield made
