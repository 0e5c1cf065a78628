"""The client of the engines' live queries: one JSON line to a Unix socket, one JSON line back.

An engine that works on a long answer says so in lines {"progress": words} before it.
Sockets lie in `run/` of the state directory, one an engine, named after it. An engine that was killed leaves its socket
file; whether an engine lives is told by connecting.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, NamedTuple

from dataplane.errors import EngineError, command
from dataplane.wording import moment

if TYPE_CHECKING:
    import socket

TIMEOUT = 5.0
"""Seconds in which an engine answers, or says how far it is."""
AT_ONCE = 1.0
"""Seconds that an engine has for what a commit asks."""
_PART = 1 << 18
"""Bytes of an answer that are taken at once."""
_GRACE = 0.2
"""Seconds more for the answer that comes at the deadline."""
DIAGNOSIS = 30.0
"""Seconds that it has besides for a diagnosis."""

Tell = Callable[[str], None]


FEW = 10
"""Sampled flows of a server below which a part of them is not shown."""


KEPT = tuple(Path(place) for place in ("/sys/fs/bpf/avi-se", "/run/avi-se", "/dev/shm/avi-se"))
"""Where the XDP and DPDK drivers keep what forwards, a folder an engine."""


def _untold(_text: str) -> None:
    """Nobody wants to know."""


def state_words(state: str, reason: str) -> str:
    """A service's state with its reason: "down: no server is up", "up, but 02:… also announces its VIP"."""
    return f"{state}, but {reason}" if state == "up" else f"{state}: {reason}"


def unanswered(server: Mapping[str, Any]) -> str:
    """The part of a reported server's new TCP flows whose clients get no answer: "12.5 %". "" where it is not known, or
    known of too few flows to say anything."""
    told = server.get("handshakes", {})
    few = told.get("answered", 0) + told.get("unanswered", 0) < FEW
    share = told.get("share")
    return "" if few or share is None else f"{100 * share:.1f} %"


def event_words(event: Mapping[str, Any], engine: str = "") -> str:
    """A reported event in a line: when it happened last, what, how often, and by which commit. engine: whose event it
    is, where there are several."""
    from dataplane.events.model import words

    when = moment(event.get("last", event["at"]))
    said = (str(event["text"]), event.get("count", 1), event["at"], event.get("commit"))
    return f"{when} {f'{engine}: ' if engine else ''}{words(*said)}"


OTHERS = ("Service Engine", "Host", "SE Group", "Address", "Version", "BGP")
"""What is shown of the engines of other hosts."""


def others(report: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The engines of other hosts that a reporting engine knows, a row each."""
    membership = report.get("membership")
    return [
        (one["name"], one["host"], one["group"], ", ".join(one["addresses"]), str(one["version"]), one["bgp"])
        for one in (membership["engines"] if membership else ())
        if one["name"] != report["name"]
    ]


def followed(following: Mapping[str, Any]) -> str:
    """Whether what other hosts commit is followed, in words."""
    store = following["store"] or "what other hosts commit"
    return f"{store} is not followed: {following['fault']}" if following["fault"] else f"{store} is followed"


def standing(membership: Mapping[str, Any]) -> str:
    """How an engine stands with the others of its cluster, in words."""
    if membership["state"] == "member":
        return f"member of {membership['cluster']}"
    why = f": {membership['reason']}" if membership["reason"] else ""
    return f"not a member of {membership['cluster']}: {membership['state']}{why}"


def default_state() -> Path:
    """The state directory: $AVI_SHELL_STATE, else /var/lib/avi-shell for root, else in the XDG state folder."""
    if named := os.environ.get("AVI_SHELL_STATE"):
        return Path(named)
    if os.geteuid() == 0:
        return Path("/var/lib/avi-shell")
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "avi-shell"


def engines(state: Path) -> list[str]:
    """Names of the engines that run on this state directory, sorted."""
    return [path.stem for path in _sockets(state) if _alive(path)]


class Answers(NamedTuple):
    """What all running engines said to one request."""

    told: dict[str, dict[str, Any]]  # by engine, sorted
    silent: dict[str, EngineError]  # engines that did not answer in time, or refused


def instance(state: Path, name: str) -> str:
    """The engine's name among all on this machine. The same state directory and name always give the same one."""
    return f"{name}-{_digest(state)}"


def left(state: Path) -> list[str]:
    """The engines of a state directory whose forwarding is in the kernel, or in memory, whether or not they run."""
    end = f"-{_digest(state)}"
    found = {entry.name.removesuffix(end) for place in KEPT for entry in place.glob(f"*{end}")}
    return sorted(found - {f"dpdk-{name}" for name in found})  # DPDK's driver pins what steers frames to it, too


def start_command(state: Path) -> str:
    """The command that starts a service engine on a state directory."""
    return command("avi-se run --state {} --interface IF", state)


def no_engine(state: Path, committed: str = "") -> str:
    """What to say where no engine runs. committed: what a commit lacks then, as "'web' is not forwarded".

    An engine that was killed, or ended by SIGHUP as a restart does, has left what forwards to the kernel.
    """
    still = left(state)
    if not still:
        so = f", so {committed} yet" if committed else ""
        return f"No service engine runs{so}. Start one: {start_command(state)}"
    how = "as before this commit" if committed else "without monitors"
    kept = "; ".join(command("avi-se clean --state {} --name {}", state, name) for name in still)
    return (
        f"No service engine runs, but what {', '.join(still)} left forwards on, {how}. "
        f"Have an engine take over: {start_command(state)}; or take it away: {kept}"
    )


def _digest(state: Path) -> str:
    import hashlib  # late, as all that most questions do without

    return hashlib.sha256(os.fsencode(state.resolve())).hexdigest()[:12]


def ask_all(state: Path, request: str, seconds: float, **arguments: Any) -> Answers:
    """Ask all running engines at once. seconds: the one deadline, and for an engine that says how far it is, in which
    it says something again; one that hangs costs no more, and no other's answer."""
    told: dict[str, dict[str, Any]] = {}
    silent: dict[str, EngineError] = {}
    heard: dict[str, float] = {}

    def one(name: str) -> None:
        def hear() -> None:
            heard[name] = time.monotonic()

        try:
            told[name] = ask(state, name, request, patience=seconds, hear=hear, **arguments)
        except EngineError as exc:
            silent[name] = exc

    began = time.monotonic()
    names = engines(state)
    threads = {name: Thread(target=one, args=(name,), daemon=True) for name in names}
    for thread in threads.values():
        thread.start()
    for name, thread in threads.items():
        while thread.is_alive() and (rest := heard.get(name, began) + seconds + _GRACE - time.monotonic()) > 0:
            thread.join(rest)
    for name in names:
        if name not in told:
            silent.setdefault(name, late(name, seconds))
    return Answers({name: told[name] for name in names if name in told and name not in silent}, silent)


def status(state: Path) -> list[dict[str, Any]]:
    """What each running engine reports of itself (`dataplane.daemon.status` gives the shape); empty if none runs.
    Raises EngineError where one does not answer."""
    answers = reports(state)
    for fault in answers.silent.values():
        raise fault
    return list(answers.told.values())


def reports(state: Path, about: str = "") -> Answers:
    """What each running engine reports of itself, and which do not answer. about: as `dataplane.daemon.aspect` has it,
    to hear of some services and pools alone; an engine of an older release tells all."""
    return ask_all(state, "status", TIMEOUT, about=about)


def addresses(state: Path) -> list[str]:
    """The own addresses of the running engines that answer at once, on the interfaces they serve."""
    answers = ask_all(state, "addresses", AT_ONCE)
    return [address for answer in answers.told.values() for address in answer["addresses"]]


def kernel_objects(state: Path, name: str) -> list[tuple[str, str]]:
    """Kind and name of all that an engine keeps in the kernel (`dataplane.kernel.objects`). Raises EngineError."""
    return [(kind, called) for kind, called in ask(state, name, "kernel")["objects"]]


def notify(state: Path) -> None:
    """Tell every running engine that the plan may have changed. They also look by themselves: errors do not matter."""
    ask_all(state, "notify", AT_ONCE)


def wait_applied(state: Path, version: int, timeout: float, identity: str = "", epoch: int = 0) -> bool:
    """Whether every running engine, and at least one, applied a plan version within `timeout` seconds; of the store of
    that identity and epoch, where one is given."""
    wanted = {"version": version, "identity": identity, "epoch": epoch}
    told, silent = ask_all(state, "wait", timeout + AT_ONCE, **wanted, timeout=timeout)
    return bool(told) and not silent and all(answer["applied"] for answer in told.values())


def diagnose(state: Path, name: str, pool: str, server: str = "", tell: Tell = _untold) -> dict[str, Any]:
    """What an engine finds out about the servers of a pool (its uuid), or one of them, in the shape that
    `dataplane.daemon.diagnose` gives; tell: is told what goes on. Raises EngineError."""
    return ask(state, name, "diagnose", tell, pool=pool, server=server, timeout=DIAGNOSIS)


def ask(
    state: Path,
    name: str,
    request: str,
    tell: Tell = _untold,
    *,
    patience: float | None = None,
    hear: Callable[[], None] = lambda: None,
    **arguments: Any,
) -> dict[str, Any]:
    """An engine's answer to one request. Raises EngineError when it does not run, answer in time, or refuses.

    tell: is told what the engine says of its progress before. timeout, among the arguments: seconds that it may take;
    patience: seconds to wait for the next of it, else TIMEOUT more than that; hear: is called when something comes.
    """
    patience = TIMEOUT + float(arguments.get("timeout", 0.0)) if patience is None else patience
    try:
        with _connection(state / "run" / f"{name}.sock", patience) as connection:
            connection.sendall(json.dumps({"request": request, **arguments}).encode() + b"\n")
            for line in _lines(connection, hear):
                answer = json.loads(line)
                if not isinstance(answer, dict) or "progress" not in answer:
                    break
                tell(str(answer["progress"]))
    except TimeoutError as exc:
        raise late(name, patience) from exc
    except (OSError, ValueError) as exc:
        raise EngineError(f"service engine {name} does not answer: {exc}", remedy="avi-se run") from exc
    if not isinstance(answer, dict) or "error" in answer:
        raise EngineError(f"service engine {name}: {answer['error'] if isinstance(answer, dict) else answer}")
    return answer


def _lines(connection: socket.socket, hear: Callable[[], None]) -> Iterator[bytes]:
    """What comes, line by line; after the last one, that no more came. Raises OSError."""
    parts: list[bytes] = []
    while part := connection.recv(_PART):
        hear()
        *ended, rest = part.split(b"\n")
        for line in ended:
            yield b"".join([*parts, line])
            parts.clear()
        parts.append(rest)
    yield b"".join(parts).strip() or b'{"error": "it closed the connection"}'


def late(name: str, seconds: float) -> EngineError:
    """That an engine did not answer in time."""
    return EngineError(f"service engine {name} does not answer within {seconds:g} s", remedy="avi-se status")


def _sockets(state: Path) -> list[Path]:
    """Of engines that run, and of those that were killed."""
    return sorted((state / "run").glob("*.sock"))


def _alive(path: Path) -> bool:
    try:
        with _connection(path, TIMEOUT):
            return True
    except BlockingIOError:  # it listens, and has more questions waiting than it takes
        return True
    except OSError:
        return False


@contextmanager
def _connection(path: Path, timeout: float) -> Iterator[socket.socket]:
    import socket  # late: a shell that asks no engine starts without it

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        with short_path(path) as name:
            connection.connect(name)
        yield connection


@contextmanager
def short_path(path: Path) -> Iterator[str]:
    """A name of a socket's path that fits the 108 bytes of `sun_path`, however deep its folder lies (unix(7))."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
