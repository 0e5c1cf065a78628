"""`show impact`: what `save`, or `commit session`, would do to what is forwarded."""

from __future__ import annotations

from avi_shell.configuration.replanned import Replanned
from avi_shell.errors import Refused, ShellError
from avi_shell.output.result import Prose, Result
from avi_shell.session import transaction
from avi_shell.session.state import SessionState
from avi_shell.views.impact import foretold
from grammar.commands import Command

NOTHING = "Nothing that is forwarded would change."


def show(session: SessionState, command: Command, result: Result) -> None:
    """`show impact`: of the open object's save, else of the configuration session. Raises what those would."""
    seen: list[Replanned] = []
    configuration = session.configuration if session.open is not None else session.stored
    if session.open is None and session.candidate is None:
        raise Refused("nothing is open whose impact could be told", hint="configure KIND NAME, or configure session")
    configuration.foresee = seen.append
    try:
        if session.open is not None:
            configuration.save(session.open.kind.segment, session.open.document, session.tenant, dry_run=True)
        else:
            assert session.candidate is not None
            session.candidate.commit("session", dry_run=True)
    except ShellError as exc:
        raise transaction.told(exc) from None
    finally:
        configuration.foresee = None
    told, result.data = foretold(session.engines, seen[-1]) if seen else ("", None)
    result.parts.append(Prose(f"Impact: {told}" if told else NOTHING))
