"""A configuration that several hosts share: a log in etcd holds the commits, and each host applies them to its store.

A host first checks and plans a commit, on top of all earlier ones. Then it creates it in the log, if nobody was faster,
and commits it to its own store. If it is killed in between, it later applies it like another host's commit.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from avi_shell.configuration import backup, renewal
from avi_shell.configuration.configuration import DATABASE, NOBODY, Configuration
from avi_shell.configuration.document import ADMIN
from avi_shell.configuration.engineaddresses import EngineAddresses
from avi_shell.configuration.record import Author, CommitRecord
from avi_shell.configuration.saved import Saved, Settling, Undone
from avi_shell.configuration.store import Store
from avi_shell.errors import Refused, StoreError
from dataplane.cluster import address as addresses
from dataplane.cluster import overview
from dataplane.cluster.address import StoreAddress
from dataplane.cluster.etcd import PATIENCE, Etcd
from dataplane.cluster.log import Head, Log, Logged
from dataplane.errors import ClusterError, StateError
from dataplane.plan import sqlite

if TYPE_CHECKING:
    from avi_shell.configuration.placement import Placement
    from dataplane.cluster.asking import Asking

T = TypeVar("T")

OLD_PLAN = "An older release made the plan. When every host has this one, avi-shell cluster upgrade makes it anew."
"""The notice if the cluster's plans have an older format."""
SNAPSHOT_EVERY = 1000
"""How many commits after a snapshot the committing host writes a new one."""
_OPENING = 5.0
"""Seconds that etcd has to answer when a configuration is opened."""
_GLANCE = 2.0
"""Seconds that etcd has to answer before a command that does not need it."""
_SILENCE = 5.0
"""Seconds for which such commands do not ask an etcd that failed to answer."""
_AUDIT = "outbox"
_OWN = (_AUDIT, "setting")
"""Tables that belong to each host alone: its audit log, and the bounds of its history."""
_PLACED = ("serviceengine", "serviceenginegroup", "virtualservice")
"""Kinds of objects on which the engines' room for VIPs depends."""
_PERSISTENCE = 30.0
"""Seconds for which a commit is tried again while others are faster."""


class Overtaken(Refused):
    """Another host committed at the same moment; nothing was stored."""

    def __init__(self) -> None:
        super().__init__("another host committed at the same moment: nothing was stored", hint="try again")


class SharedConfiguration(Configuration):
    """An open configuration that several hosts share. Raises StoreError if etcd refuses or does not answer."""

    def __init__(self, store: Store, log: Log, engine_addresses: Callable[[], Collection[str]] = tuple) -> None:
        super().__init__(store, engine_addresses)
        self.log = log
        self._asked = float("-inf")
        self._asks: Asking | None = None
        self._fault = ""

    @classmethod
    def join(cls, directory: Path, address: StoreAddress, *, anew: bool = False) -> SharedConfiguration:
        """Open the configuration of a cluster, with a state directory for what this host applies of it; both remember
        each other from then on. anew: whatever is there is replaced.

        Raises StoreError where etcd does not answer or nobody seeded the cluster, and where the directory has commits
        that the cluster does not.
        """
        log = Log(Etcd(address, _OPENING))
        try:
            with _as():
                known = addresses.remembered(directory)
                if known is not None and known.cluster != address.cluster:
                    raise StoreError(
                        f"{directory} belongs to cluster {known.cluster}", hint="avi-shell cluster leave ends that"
                    )
                head = _seeded(log.head(), address)
                if (found := log.format()) > sqlite.PLAN_FORMAT:
                    what = f"cluster {address.cluster} has plans of format {found}, this release reads"
                    raise StoreError(f"{what} {sqlite.PLAN_FORMAT}", hint="upgrade this host")
                made = cls(Store.open(directory / DATABASE), log, EngineAddresses(directory))
                try:
                    made._begin_with(head, known is not None, anew)
                    if known != address:
                        addresses.remember(directory, address)
                except BaseException:
                    made.close()
                    raise
        except BaseException:
            log.etcd.close()
            raise
        log.etcd.patience = PATIENCE
        return made

    def close(self) -> None:
        """Close the store, and the connections to etcd."""
        super().close()
        self.log.etcd.close()
        if self._asks is not None:
            self._asks.close()

    def asking(self) -> Asking:
        """As in Configuration."""
        if self._asks is None:
            from dataplane.cluster.asking import Asking  # late: commits ask nobody

            self._asks = Asking(self.log.etcd.address)
        return self._asks

    def placement(self) -> Placement:
        """As in Configuration."""
        from avi_shell.configuration.placement import Placement  # late: few lines are about it

        return Placement(self.log.etcd, self._store.connection)

    def follow(self, age: float = 0.0) -> str:
        """As in Configuration. A host that cannot ask etcd shows what it applied before."""
        if time.monotonic() - self._asked < (max(age, _SILENCE) if self._fault else age):
            return self._fault
        self.log.etcd.patience, self._fault = _GLANCE, ""
        try:
            self.catch_up()
        except ClusterError as exc:
            self._fault = exc.what
        finally:
            self.log.etcd.patience = PATIENCE
            self._asked = time.monotonic()
        return self._fault

    def catch_up(self) -> int:
        """Apply what other hosts committed, each commit in a transaction of its own. Returns how many there were.

        Raises ClusterError; StoreError where it cannot be stored, or does not fit what is here.
        """
        applied = 0
        while True:
            version = self._store.version()
            found, logged = self.log.read(version)
            head = _seeded(found, self.log.etcd.address)
            if not self._fits(head, logged, version):
                applied += self._load(head)
            elif logged:
                applied += sum(self._apply_logged(one) for one in logged)
            else:
                return applied

    def again(self, once: Callable[[], T]) -> T:
        """As in Configuration."""
        until = time.monotonic() + _PERSISTENCE
        while True:
            try:
                return once()
            except Overtaken:
                if time.monotonic() > until:
                    raise

    def save(self, *args: Any, **options: Any) -> Saved:
        """As in Configuration."""
        saved = self.again(lambda: super(SharedConfiguration, self).save(*args, **options))
        if not saved.changed or args[0] not in _PLACED:
            return saved
        return replace(saved, notices=(*saved.notices, *self.placement().warnings()))

    def delete(self, *args: Any, **options: Any) -> int:
        """As in Configuration."""
        return self.again(lambda: super(SharedConfiguration, self).delete(*args, **options))

    def rename(self, *args: Any, **options: Any) -> Saved:
        """As in Configuration."""
        return self.again(lambda: super(SharedConfiguration, self).rename(*args, **options))

    def change(self, *args: Any, **options: Any) -> tuple[int, list[str], bool]:
        """As in Configuration."""
        return self.again(lambda: super(SharedConfiguration, self).change(*args, **options))

    @contextmanager
    def settling(self, action: str, by: Author = NOBODY) -> Iterator[Settling]:
        """As in Configuration."""
        with self._commit():
            made = Settling(self._store, self._store.version() + 1)
            yield made
            self._record(made.version, by, ADMIN, action, "", "")

    def upgrade(self, by: Author = NOBODY) -> int:
        """Make the plan anew by this release, in a commit, and have hosts of older releases join no more. Returns the
        commit. Raises Refused while an engine is there that does not read such a plan; ClusterError, StoreError."""
        etcd, format_ = self.log.etcd, sqlite.PLAN_FORMAT
        older = [one.name for one in overview.engines(etcd) if one.format < format_]
        if older:
            what = f"service engines that read no plan of format {format_} are there: {', '.join(older)}"
            raise Refused(what, hint="upgrade their hosts first")

        def once() -> int:
            with self.bulk(renewal.ACTION, by) as (_, made):
                made.replan()
            return made.version

        version = self.again(once)
        self.log.set_format(format_)
        return version

    def write_snapshot(self) -> bool:
        """Write this store as the snapshot for new hosts, and drop older commits from the log. False: another host
        did."""
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as copy, self._store.guarded():
            self._store.connection.backup(copy)
            for table in _OWN:
                copy.execute(f"DELETE FROM {table}")
            version = Store(copy, self._store.where).version()
            head, _ = self.log.read(version)
            before = self.log.revision
            if head is None or sqlite.identity(copy) != (head.identity, head.epoch) or version <= head.version:
                return False
            written = self.log.replace(head, (head.identity, head.epoch, version), backup.image(copy))
        if written:
            self.log.etcd.compact(before)
        return written

    @contextmanager
    def _commit(self, dry_run: bool = False) -> Iterator[None]:
        number, since = 0, 0
        try:
            with _as("nothing was stored: "):
                while not number:
                    with super()._commit(dry_run):
                        version = self._store.version()
                        found, logged = self.log.read(version)
                        head = _seeded(found, self.log.etcd.address)
                        if logged or not self._fits(head, logged, version):
                            raise Undone  # what others committed is applied first, each in a transaction of its own
                        yield
                        number = -1 if dry_run else self._publish(head, version)
                        since = number - head.version
                    if not number:
                        self.catch_up()
        except StoreError as exc:
            if number > 0:
                what = f"commit {number} stands in etcd for all hosts, but could not be stored on this one: {exc.what}"
                raise StoreError(what, hint="it is applied here as soon as it can be") from exc
            raise
        if since >= SNAPSHOT_EVERY:
            with suppress(ClusterError, StoreError):  # the next commit does it
                self.write_snapshot()

    def _publish(self, head: Head, before: int) -> int:
        """Create the open transaction's commit in the log. Returns its number, -1 where there is none."""
        number = self._store.version()
        if number == before:
            return -1
        self._store.indexes.write()
        content = json.dumps(self._store.commit_record(number).to_json(), separators=(",", ":")).encode()
        try:
            created = self.log.append(number, content, head)
        except ClusterError as exc:
            if exc.uncertain:
                what = f"whether commit {number} was stored is not known: {exc.what}"
                raise StoreError(what, hint="show configuration history tells, when etcd answers again") from exc
            raise
        if not created:
            raise Overtaken
        return number

    def _fits(self, head: Head, logged: Sequence[Logged], version: int) -> bool:
        """Whether commits can be applied to what is here, at a version, behind which the log was just read: else the
        snapshot comes first. Raises ClusterError where etcd has lost a commit."""
        if self._store.identity() != (head.identity, head.epoch):
            return False
        if version > head.version and not self.log.reached:
            what = f"commit {version} of this host is not in etcd, which has lost it or never had it"
            remedy = "avi-shell cluster seed --replace puts what is here there, avi-shell cluster reload gives it up"
            raise ClusterError(what, remedy=remedy)
        return (logged[0].number if logged else max(version, head.version) + 1) == version + 1

    def _begin_with(self, head: Head, belongs: bool, anew: bool) -> None:
        """See that what is here may follow the cluster, and let it."""
        identity, version = self._store.identity(), self._store.version()
        where = self.log.etcd.address.cluster
        if anew:
            self._load(head)
        elif identity[0] != head.identity and version and not belongs:
            what = f"{self._store.where} has commits of its own ({version}), which cluster {where} does not know"
            hint = "avi-shell cluster reload takes the cluster's configuration instead, cluster seed makes this one its"
            raise StoreError(what, hint=hint)
        elif identity == (head.identity, head.epoch) and version > head.version:
            _, logged = self.log.read(version - 1)
            if not logged or _record(logged[0]).commit != self._store.log.commit(version):
                what = f"commit {version} of {self._store.where} is not the one of cluster {where}"
                raise StoreError(what, hint="avi-shell backup FILE keeps it; avi-shell cluster reload replaces it")
        self.catch_up()

    def _apply_logged(self, one: Logged) -> bool:
        from avi_shell.configuration import replay

        record = _record(one)
        with self._store.transaction():
            if one.number <= self._store.version():
                return False  # another process of this host did
            try:
                replay.apply(self._store, record)
            except Refused as exc:
                hint = "avi-shell cluster reload brings what is here in line"
                raise StoreError(f"{self._store.where}: {exc.what}", hint=hint) from exc
        return True

    def _load(self, head: Head) -> bool:
        """Replace this host's store by the snapshot. False: another snapshot has replaced it."""
        content = self.log.content(head)
        if content is None:
            return False
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as copy:
            try:
                copy.deserialize(content)
                found = Store(copy, "the snapshot in etcd")
                Configuration(found)
                told = *found.identity(), found.version()
            except sqlite3.Error as exc:
                raise ClusterError(f"the snapshot in etcd is damaged: {exc}") from exc
            if told != (head.identity, head.epoch, head.version):
                raise ClusterError(f"the snapshot in etcd is damaged: it is of commit {told[2]}, not {head.version}")
            with self._store.guarded():
                own = {table: self._store.connection.execute(f"SELECT * FROM {table}").fetchall() for table in _OWN}
                copy.backup(self._store.connection)
        with self._store.transaction():
            for table, rows in own.items():
                if table != _AUDIT:  # of a seed it has the line of that commit
                    self._store.connection.execute(f"DELETE FROM {table}")
                for row in rows:
                    self._store.connection.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)
        self._store.applied += 1
        return True


def seed(directory: Path, address: StoreAddress, source: Path | None, by: Any, *, replace: bool = False) -> int:
    """Let a cluster begin with the store of a state directory, or with a backup of one: as another epoch of it, and the
    number of the commit that it is then. replace: also where the cluster has a configuration, which is lost.

    Raises Refused; StoreError where etcd does not answer.
    """
    with (
        closing(Etcd(address)) as etcd,
        closing(sqlite3.connect(":memory:", isolation_level=None)) as copy,
        _as(),
    ):
        log = Log(etcd)
        head = log.head()
        if head is not None and not replace:
            what = f"cluster {address.cluster} has a configuration already, of commit {head.version} or later"
            raise Refused(what, hint="--replace replaces it by this one, on all its hosts")
        if source is not None:
            backup.read(source, copy)
        else:
            with closing(Configuration.open(directory)) as own, own.snapshot() as store:
                store.connection.backup(copy)
        epoch = head.epoch if head is not None else int(time.time())
        number = backup.begin_anew(copy, str(source or directory / DATABASE), "seed", by, lambda _: epoch)
        if not log.replace(head, (*sqlite.identity(copy), number), backup.image(copy), seed=True):
            raise Overtaken
        log.set_format(sqlite.plan_format(copy))
        addresses.remember(directory, address)
    return number


def _seeded(head: Head | None, address: StoreAddress) -> Head:
    if head is None:
        what = f"etcd holds no configuration of cluster {address.cluster}"
        raise ClusterError(what, remedy="avi-shell cluster seed puts a host's configuration there")
    return head


def _record(one: Logged) -> CommitRecord:
    try:
        return CommitRecord.from_json(json.loads(one.content))
    except Refused as exc:
        raise ClusterError(f"commit {one.number} in etcd: {exc.what}") from exc
    except (ValueError, RecursionError) as exc:
        raise ClusterError(f"commit {one.number} in etcd is not JSON: {exc}") from exc


@contextmanager
def _as(meant: str = "") -> Iterator[None]:
    """Raise faults of etcd and the state directory as StoreError. meant: what did not happen."""
    try:
        yield
    except (ClusterError, StateError) as exc:
        raise StoreError(meant + exc.what, hint=exc.remedy) from exc
