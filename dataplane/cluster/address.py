"""The address of the shared store, `etcd://[USER@]HOST[:PORT],…/CLUSTER`, and how a state directory remembers it.

A state directory that once joined a cluster belongs to it: programs that are started without `--store` find it in
`cluster.json`, so that nobody commits past the others.
"""

from __future__ import annotations

import json
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from dataplane import statedir
from dataplane.errors import ClusterError, command

PORT = 2379
"""etcd's port for clients."""
FORM = "etcd://[USER@]HOST[:PORT],HOST[:PORT],…/CLUSTER"
_URL = re.compile(r"etcd://(?:(?P<user>[^@/:,]+)@)?(?P<hosts>[^@/]+)/(?P<cluster>[A-Za-z0-9][A-Za-z0-9_.-]{0,60})")
_HOST = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9][A-Za-z0-9_.-]*))(?::(?P<port>[0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """A cluster's store."""

    endpoints: tuple[tuple[str, int], ...]  # host and port of each member that may be asked
    cluster: str  # the name under which several may share one etcd
    user: str = ""  # etcd's user; "" = etcd asks for none
    password_file: str = ""  # holds the user's password in its first line
    ca: str = ""  # a file of CA certificates that must have signed the members'; "" = without TLS

    @property
    def url(self) -> str:
        """The address as operators type it."""
        hosts = ",".join(shown(endpoint) for endpoint in self.endpoints)
        return f"etcd://{self.user}{'@' if self.user else ''}{hosts}/{self.cluster}"

    def password(self) -> str:
        """The user's password. Raises ClusterError for a file that others may read, or that cannot be read."""
        path = self.password_file
        if not path:
            what = f"{self.url}: user {self.user} has a password, and nothing says where it is"
            raise ClusterError(what, remedy="--store-password-file FILE names the file with it")
        try:
            with open(path, encoding="utf-8") as file:
                if os.fstat(file.fileno()).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                    raise ClusterError(f"{path}: others may read the password", remedy=command("chmod 600 {}", path))
                return file.readline().rstrip("\r\n")
        except (OSError, ValueError) as exc:
            raise ClusterError(f"{path}: {getattr(exc, 'strerror', None) or exc}") from exc


def parse(url: str, password_file: str = "", ca: str = "") -> StoreAddress:
    """Read an address that was typed. Raises ValueError that says what was expected."""
    found = _URL.fullmatch(url)
    if found is None and re.match(r"etcd://[^/@]*:[^/@]*@", url):
        raise ValueError("a list of processes would show a password in it: use --store-password-file FILE")
    if found is None:
        raise ValueError(f"{url!r}: expected {FORM}")
    endpoints = []
    for text in found["hosts"].split(","):
        host = _HOST.fullmatch(text)
        port = int(host["port"] or PORT) if host is not None else 0
        if host is None or not 0 < port < 65536:
            raise ValueError(f"{url!r}: {text!r} is no HOST or HOST:PORT")
        endpoints.append((host["six"] or host["host"], port))
    own = (str(Path(name).absolute()) if name else "" for name in (password_file, ca))
    return StoreAddress(tuple(endpoints), found["cluster"], found["user"] or "", *own)


def shown(endpoint: tuple[str, int]) -> str:
    """A member as people read it: HOST:PORT."""
    host, port = endpoint
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def remembered(directory: Path) -> StoreAddress | None:
    """The cluster that a state directory belongs to; None where it is this host's alone. Raises ClusterError."""
    path = directory / statedir.SHARED
    if not path.exists():
        return None
    try:
        told = json.loads(path.read_text("utf-8"))
        return parse(told["store"], told["password_file"], told["ca"])
    except (OSError, ValueError, TypeError, LookupError) as exc:
        raise ClusterError(f"{path}: {exc}", remedy="avi-shell cluster leave, and join again by --store") from exc


def remember(directory: Path, address: StoreAddress) -> None:
    """Record that a state directory belongs to a cluster. Raises ClusterError."""
    told = {"store": address.url, "password_file": address.password_file, "ca": address.ca}
    path, fresh = directory / statedir.SHARED, directory / f".{statedir.SHARED}.{os.getpid()}"
    try:
        file = statedir.open_file(fresh, os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
        with os.fdopen(file, "w", encoding="utf-8") as out:
            out.write(json.dumps(told, indent=1) + "\n")
        os.replace(fresh, path)
    except OSError as exc:
        raise ClusterError(f"{path}: {exc.strerror}") from exc


def forget(directory: Path) -> bool:
    """Make a state directory this host's alone again. False if it was already. Raises ClusterError."""
    try:
        (directory / statedir.SHARED).unlink()
    except FileNotFoundError:
        return False
    except OSError as exc:
        raise ClusterError(f"{directory / statedir.SHARED}: {exc.strerror}") from exc
    return True
