"""`show running_config`, fed to an empty shell, recreates the configuration; so does an export. Random objects."""

import json
from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from avi_shell.configuration import transfer
from avi_shell.configuration.configuration import Configuration
from avi_shell.session.session import Session
from tests.examples import examples

from .conftest import VIRTUAL_SERVICE
from .test_properties import fresh, in_short_style, objects, opening


def told(configuration: Configuration) -> Any:
    """Everything that is stored, without what is new with every object."""
    text = transfer.dumps(transfer.export(configuration))
    return json.loads(text, object_pairs_hook=lambda pairs: {k: v for k, v in pairs if k not in ("uuid", "META")})


@settings(max_examples=examples(25), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(objects(), min_size=1, max_size=3))
def test_running_config_recreates_the_configuration(made: list[tuple[str, list[Any]]]) -> None:
    session = fresh()
    for segment, body in made:
        session.run(opening(segment))
        assume(all(session.run(text).ok for text in in_short_style(session, body, [])))
        assume(session.run("save").ok)
    lines = transfer.running_config(session.configuration, "admin")
    again = Session(Configuration.in_memory(), session.directory)
    for text in lines:
        result = again.run(text)
        assert result.ok, (text, result.error)
    assert again.open is None
    assert told(again.configuration) == told(session.configuration)


def test_the_setup_is_recreated() -> None:
    session = fresh()
    lines = transfer.running_config(session.configuration, "admin")
    assert len(VIRTUAL_SERVICE.splitlines()) > 10
    again = Session(Configuration.in_memory(), session.directory)
    assert all(again.run(text).ok for text in lines)
    assert told(again.configuration) == told(session.configuration)
