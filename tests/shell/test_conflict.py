"""Two sessions on one object: the second is refused, and told what the first changed."""

from pathlib import Path

from avi_shell.configuration.configuration import Configuration
from avi_shell.errors import Conflict
from avi_shell.output import render
from avi_shell.session.session import Session


def test_the_second_of_two_is_told_what_the_first_changed(tmp_path: Path) -> None:
    mine, theirs = (Session(Configuration.open(tmp_path), tmp_path) for _ in range(2))
    servers = [line for n in range(1, 101) for line in (f"servers 10.1.1.{n} port 80", "save")]
    for line in ("configure pool p1", *servers, "save", "configure pool p1", "description mine"):
        assert mine.run(line).ok
    for line in ("configure pool p1", "no servers ip 10.1.1.1 port 80", "no enabled", "save"):
        assert theirs.run(line).ok
    refused = mine.run("save").error
    assert isinstance(refused, Conflict)
    assert render.message(refused) == (
        "Pool p1 was changed by somebody else meanwhile: servers[10.1.1.1:80] is gone, enabled is now False; "
        "cancel, and configure it again"
    )
    for session in (mine, theirs):
        session.configuration.close()
