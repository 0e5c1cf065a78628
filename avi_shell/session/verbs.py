"""What each command does. `HANDLERS` maps the actions of `grammar.commands` to functions over a session's state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict

from avi_shell.configuration.document import ALL, SECRET, Document, cloud_of
from avi_shell.errors import NotFound, Refused
from avi_shell.output import secret, table
from avi_shell.output.result import Result, Table
from avi_shell.session import (
    capturing,
    confirming,
    elements,
    files,
    helping,
    history,
    looking,
    naming,
    placing,
    together,
    transaction,
    undo,
    watching,
)
from avi_shell.session.comment import comment_of
from avi_shell.session.state import FIELD_VALUE, SessionState
from avi_shell.views import live
from dataplane.version import VERSION
from dataplane.wording import moment
from grammar import schema
from grammar.commands import Command


def _show_techsupport(session: SessionState, command: Command, result: Result) -> None:
    from avi_shell.session import techsupport  # late: it is asked for once in a while

    techsupport.show(session, command, result)


def _open(session: SessionState, command: Command, result: Result) -> None:
    name = command.arguments["name"]
    if command.kind == "debugvirtualservice":
        session.find("virtualservice", name)
    session.open_object(command.kind, name, command.fields, result)


def _save(session: SessionState, command: Command, result: Result) -> None:
    together.may_store(session)
    comment, confirm = comment_of(command), confirming.seconds_of(command)
    if comment and session.open is None:
        raise Refused("nothing is open, so there is no commit that the comment could be about")
    if confirm:
        confirming.outside_session(session)
    if confirm and session.open is None:
        confirming.extend(session, confirm, result)
        confirming.tell(session, result)
    elif session.open is None and session.terminal:  # the line before may have been refused unseen
        result.parts.append("Nothing is open, so nothing was saved.")
    with capturing.following(session, result):
        session.leave_by_save(result, comment, confirm)


def _exit(session: SessionState, command: Command, result: Result) -> None:
    together.may_store(session)
    if session.open is None:
        result.ended = transaction.may_leave(session, result)
    elif len(session.open.modes) > 1:
        elements.check_left(session.configuration, session.open, session.tenant)
        session.open.leave_by_exit()
    else:
        with capturing.following(session, result):
            session.store(result)


def _cancel(session: SessionState, command: Command, result: Result) -> None:
    assert session.open is not None
    if len(session.open.modes) > 1:
        session.open.leave_by_cancel()
    else:
        session.open = None


def _where(session: SessionState, command: Command, result: Result) -> None:
    result.parts.append(f"Tenant: {session.tenant}")
    result.data = {"tenant": session.tenant, "mode": session.mode, "value": None}
    if session.open is not None:
        mode, brief = session.open.mode, session.open.typed if session.settings.brief else None
        rows = table.message_rows(session.open.kind, mode.message, mode.value, brief=brief)
        result.parts.append(Table(FIELD_VALUE, rows))
        result.data["value"] = mode.value


def _prepared(session: SessionState) -> Document:
    opened = session.open
    assert opened is not None
    return session.configuration.prepared(opened.kind.segment, opened.document, session.tenant)


def _show_open(session: SessionState, command: Command, result: Result) -> None:
    assert session.open is not None
    document = _prepared(session)
    result.parts.append(session.table(session.open.kind, document))
    result.data = document


def _show_diff(session: SessionState, command: Command, result: Result) -> None:
    from avi_shell.configuration.differences import compare
    from avi_shell.output import differences

    opened = session.open
    assert opened is not None
    uuid = opened.document.get("uuid")
    there = cloud_of(opened.kind, opened.base) or ALL
    stored = session.configuration.find(opened.kind.segment, opened.name, session.tenant, there) if uuid else None
    changed = compare(opened.kind, stored or {}, _prepared(session))
    result.data = differences.data(opened.kind, changed)
    if rows := differences.rows(opened.kind, changed):
        result.parts.append(Table(("Field", "Stored", "After save"), rows))
    else:
        result.parts.append("Nothing would change.")


def _show_list(session: SessionState, command: Command, result: Result) -> None:
    documents = session.configuration.all(command.kind, session.tenant, session.cloud)
    result.data = documents
    engines = session.engines
    parts, rows = live.listing(session.configuration, engines, command.kind, documents)
    result.parts += parts
    result.silent = engines.silent
    if command.kind in live.LIVE:
        result.live = rows
    transaction.mark(session, documents, result)


def _show_object(session: SessionState, command: Command, result: Result) -> None:
    name = command.arguments["name"]
    stored = session.configuration.find(command.kind, name.text, session.tenant, session.cloud)
    engines = session.engines
    if command.kind == "serviceengine" and (stored is None or engines.is_running(name.text)):
        result.parts, result.data = live.view(engines, "serviceengine", name.text, None, "detail")
        result.silent = engines.silent
        return
    document = session.find(command.kind, name)
    result.parts.append(session.table(schema.kind(command.kind), document))
    transaction.mark(session, [document], result)
    result.data = document


def _show_view(session: SessionState, command: Command, result: Result) -> None:
    name = command.arguments["name"].text
    document = None if command.kind == "serviceengine" else session.find(command.kind, command.arguments["name"])
    engines, word = session.engines, " ".join(filter(None, (command.text("view"), command.text("part"))))
    result.parts, result.data = live.view(engines, command.kind, name, document, word)
    result.silent = engines.silent


def _show_diagnose(session: SessionState, command: Command, result: Result) -> None:
    from avi_shell.views.diagnose import diagnosis

    document = session.find(command.kind, command.arguments["name"])
    wanted = session.configuration, session.directory, document, command.text("server")
    result.parts, result.data = diagnosis(*wanted, session.progress)


def _show_cluster(session: SessionState, command: Command, result: Result) -> None:
    from avi_shell.views.cluster import cluster

    result.parts, result.data = cluster(session.stored)


def _show_flow(session: SessionState, command: Command, result: Result) -> None:
    from avi_shell.views import flow

    document = session.find(command.kind, command.arguments["name"])
    client, port = flow.read_client(command.arguments["client"])
    result.parts, result.data = flow.flow(session.engines, document, client, port)
    result.silent = session.engines.silent


def _show_setup(session: SessionState, command: Command, result: Result) -> None:
    from avi_shell.views.serversetup import setup

    lines, result.data = setup(session.configuration, session.find(command.kind, command.arguments["name"]))
    result.parts += lines


def _show_impact(session: SessionState, command: Command, result: Result) -> None:
    from avi_shell.session import impact

    impact.show(session, command, result)


def _show_history(session: SessionState, command: Command, result: Result) -> None:
    columns = ("version", "time", "user", "tenant", "action", "kind", "name", "line")
    with session.stored.snapshot() as store:
        found = store.log.last(100, session.tenants)
    result.data = [asdict(commit) | {"version": commit.number} for commit in found]
    for entry in result.data:
        entry["line"] = SECRET if secret.suspected(entry["line"]) is not None else entry["line"]
    shown = [entry | {"time": moment(entry["time"])} for entry in result.data]
    rows = [[str(entry[name]) for name in columns] for entry in shown]
    result.parts.append(Table(tuple(name.capitalize() for name in columns), rows))


def _show_running(session: SessionState, command: Command, result: Result) -> None:
    from avi_shell.configuration.transfer import running_config

    lines = running_config(session.configuration, session.tenant, secrets=False)
    result.parts += lines
    result.data = lines


def _version(session: SessionState, command: Command, result: Result) -> None:
    result.data = {"product": "avi-shell", "version": VERSION}
    result.parts.append(Table(FIELD_VALUE, list(result.data.items())))


def _delete(session: SessionState, command: Command, result: Result) -> None:
    name = command.arguments["name"].text
    session.find(command.kind, name)
    result.committed = session.configuration.delete(
        command.kind, name, session.tenant, session.by(result.command.strip()), cloud=session.cloud
    )
    result.parts.append(f"Successfully deleted {name}.")
    session.tell_engines(False, result)


def _switch(session: SessionState, command: Command, result: Result) -> None:
    name = command.text("name")
    session.work_in(name)
    result.parts.append(f"Switching to tenant {name}")


def _switch_cloud(session: SessionState, command: Command, result: Result) -> None:
    name = command.text("name")
    if name != ALL and session.configuration.find("cloud", name, session.tenant) is None:
        names = session.configuration.names("cloud", session.tenant)
        raise NotFound(f"there is no cloud '{name}'", hint=f"expected: {', '.join([*names, ALL])}")
    session.cloud = name
    result.parts.append(f"Switching to cloud {name}")


def _export(session: SessionState, command: Command, result: Result) -> None:
    from avi_shell.configuration import transfer

    path = command.text("path")
    data = transfer.export(session.configuration, session.owner)
    files.write(path, transfer.dumps(data), mode=0o600)  # it holds the secrets
    result.parts.append(f"Completed writing the export configuration to {path}")
    result.data = {"file": path, "objects": sum(len(v) for v in data.values() if isinstance(v, list))}


def _import(session: SessionState, command: Command, result: Result) -> None:
    from avi_shell.configuration import transfer
    from avi_shell.output import imported

    path = command.text("path")
    data = files.read_json(path)
    if not isinstance(data, dict):
        raise Refused(f"{path} is not an export", hint="expected a JSON object keyed by kinds")
    dry_run = bool(command.text("dry_run"))
    done = session.configuration.again(
        lambda: transfer.import_(
            session.configuration,
            data,
            keep_uuid=bool(command.text("keep")),
            by=session.by(result.command.strip()),
            tenant=session.owner,
            dry_run=dry_run,
            progress=session.progress,
        )
    )
    result.parts += imported.lines(done, verbose=bool(command.text("verbose")))
    result.data = imported.data(done)
    if dry_run:
        result.parts.append(f"{path} can be imported; nothing was changed.")
        return
    result.parts.append("Successfully imported the configuration file")
    result.committed = done.version
    session.tell_engines(False, result)


def _load(session: SessionState, command: Command, result: Result) -> None:
    from avi_shell.session.load import load

    load(session, command, result)


def _length(session: SessionState, command: Command, result: Result) -> None:
    session.settings.length = int(command.text("number"))


def _width(session: SessionState, command: Command, result: Result) -> None:
    session.settings.width = int(command.text("number"))


def _output(session: SessionState, command: Command, result: Result) -> None:
    session.settings.brief = command.text("value") == "brief"


def _prompt(session: SessionState, command: Command, result: Result) -> None:
    session.settings.path_prompt = command.text("value") == "path"


def _plain(session: SessionState, command: Command, result: Result) -> None:
    session.settings.plain = True


def _history(session: SessionState, command: Command, result: Result) -> None:
    result.data = list(session.lines)
    result.parts += [f"{number:5}  {line}" for number, line in enumerate(session.lines, 1)]


def _clear(session: SessionState, command: Command, result: Result) -> None:
    result.clear = True


Handler = Callable[[SessionState, Command, Result], None]

HANDLERS: Mapping[str, Handler] = {
    "open": _open,
    "session.open": transaction.open_,
    "session.commit": transaction.commit,
    "session.discard": transaction.discard,
    "session.check": transaction.check,
    "show.session": transaction.show,
    "save": _save,
    "exit": _exit,
    "cancel": _cancel,
    "where": _where,
    "show.open": _show_open,
    "show.diff": _show_diff,
    "show.list": _show_list,
    "show.object": _show_object,
    "show.view": _show_view,
    "show.placement": placing.show,
    "scaleout": placing.scale_out,
    "scalein": placing.scale_in,
    "migrate": placing.migrate,
    "switchover": placing.switch_over,
    "show.diagnose": _show_diagnose,
    "show.flow": _show_flow,
    "show.table": looking.table,
    "show.internal": looking.internal,
    "version.controller": looking.controller,
    "clear.counters": looking.clear,
    "show.drops": looking.drops,
    "show.evenness": looking.evenness,
    "show.events": history.events,
    "show.live": watching.live,
    "show.techsupport": _show_techsupport,
    "show.captures": capturing.show,
    "capture.drops": capturing.drops,
    "show.setup": _show_setup,
    "show.cluster": _show_cluster,
    "show.impact": _show_impact,
    "show.history": _show_history,
    "show.commits": history.commits,
    "show.difference": history.difference,
    "show.changes": history.of_object,
    "show.running_config": _show_running,
    "version": _version,
    "delete": _delete,
    "copy": naming.copy,
    "rename": naming.rename,
    "rollback": undo.rollback,
    "confirm": confirming.confirm,
    "switchto": _switch,
    "switchto.cloud": _switch_cloud,
    "export": _export,
    "export.capture": capturing.export,
    "import": _import,
    "load": _load,
    "terminal.length": _length,
    "terminal.width": _width,
    "terminal.output": _output,
    "terminal.prompt": _prompt,
    "terminal.plain": _plain,
    "history": _history,
    "clear": _clear,
    "help": helping.show,
}
"""Action → function."""


def is_for_the_eye(action: str) -> bool:
    """Whether a command only shows or writes out what there is. Such a command is not refused where others are."""
    return action.startswith("export") or (action.startswith("show.") and action not in ("show.object", "show.session"))
