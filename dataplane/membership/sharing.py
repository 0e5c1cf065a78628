"""Changes of pools' tables, in etcd: one engine of a group writes them for engines that begin later. All engines of a
group see about the same changes, so one is enough. Readers ignore what is too old to matter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future

from dataplane.cluster import operations as op
from dataplane.cluster.etcd import Etcd
from dataplane.membership.link import Link
from dataplane.plan import history
from dataplane.plan.history import Held

FOLDER = "shares/"
"""Below the cluster's keys, where every pool's changes are, by the driver's name of the pool."""
_MOST, _LARGEST = 60, 500_000
"""Keys, and bytes, of one transaction: etcd takes 128 operations and 1.5 MB."""


class Sharing:
    """On one event loop."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._told: dict[str, bytes] = {}  # what etcd has of this engine
        self._job: Future[dict[str, bytes]] | None = None

    def tell(self, changes: Mapping[str, Sequence[Held]]) -> None:
        """Write the changes of all pools that have any. If etcd does not answer, the next call tries again."""
        if self._job is not None:
            if not self._job.done():
                return
            if self._job.exception() is None:
                self._told = self._job.result()
            self._job = None
        wanted = {name: history.text(held) for name, held in changes.items()}
        if wanted != self._told:
            told, folder = self._told, self._link.key(FOLDER)
            self._job = self._link.do(lambda etcd, _: _write(etcd, folder, told, wanted))

    def recall(self) -> Future[dict[str, list[Held]]]:
        """What other engines wrote, by pool."""
        folder = self._link.key(FOLDER)

        def job(etcd: Etcd, _: int) -> dict[str, list[Held]]:
            return {
                one.key.removeprefix(folder): history.read(one.value) for one in etcd.get(folder, op.following(folder))
            }

        return self._link.do(job)


def _write(etcd: Etcd, folder: str, told: Mapping[str, bytes], wanted: dict[str, bytes]) -> dict[str, bytes]:
    """Write what is new, and remove what is none any more. Returns what etcd has then. Raises ClusterError."""
    changed: list[tuple[str, bytes | None]] = [(n, text) for n, text in wanted.items() if told.get(n) != text]
    changed += [(name, None) for name in told.keys() - wanted.keys()]
    while changed:
        some, size = list[tuple[str, bytes | None]](), 0
        while changed and len(some) < _MOST and (not some or size + len(changed[-1][1] or b"") < _LARGEST):
            some.append(changed.pop())
            size += len(some[-1][1] or b"")
        etcd.txn((), [op.delete(folder + n) if text is None else op.put(folder + n, text) for n, text in some])
    return wanted
