"""Whose answers do not reach the clients: the rule, a pure function of what was counted of sampled TCP flows.

What is counted (`dataplane.forwarding.handshakes`) is whether a client goes on after its SYN, or repeats it at least
twice. The answers themselves never come by, so who repeats its SYN may be a client that hears nothing, because the
server's gateway or route is wrong; or a flood: SYNs of sources that nobody is, sent again and again. They are told
apart by how they are spread. A SYN of a flood that comes once counts as nothing at all. One that is repeated counts
like a client's, but a flood does not choose servers: it meets all of them alike, each according to its part of the
flows. So a server is named when

* of its flows that were either answered or not at least HIGH were not: FLOWS of them or more, of CLIENTS addresses or
  more (one client that hears nothing is that client's matter);
* there are servers in its pool that do well: at most LOW of their flows were not answered, and FLOWS or more were;
* if unanswered flows were spread over it and those alike, so many of them would fall to it in one look of CHANCE, or
  more seldom, divided by the number of servers that there are.

With two servers that takes some twenty unanswered flows, with ten six. Where nobody does well there is nothing to
compare with: that the clients of a whole pool hear nothing is said of the pool, with all that may be the reason (MANY
of its flows, and of CLIENTS addresses). An attacker who picks sources whose flows all go to one server can have it
named: this is why it is told, and nothing more. It never takes a server out of service.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Hashable, Iterable, Mapping
from functools import reduce
from typing import NamedTuple, TypeVar

from dataplane.errors import command

HIGH, LOW = 0.2, 0.05
"""Parts of a server's flows that were not answered: that names it, that is as usual."""
FLOWS, CLIENTS = 5, 3
"""The least numbers that say anything."""
CHANCE = 100_000
"""How many looks a judgement by mistake may take."""
MANY = 0.5
"""The part of a pool's flows that is told of."""
SURE = 10_000
"""A server that still is out of reach would be seen to answer so many flows in a row once in so many times at most."""

K = TypeVar("K", bound=Hashable)


class Sample(NamedTuple):
    """Sampled flows of some minutes."""

    begun: int = 0
    answered: int = 0
    repeated: int = 0  # their clients repeated the SYN again and again
    late: int = 0  # of these: those that were answered after all

    @property
    def unanswered(self) -> int:
        """Those that were not answered, though their clients waited."""
        return max(0, self.repeated - self.late)

    @property
    def known(self) -> int:
        """Those of which it is known whether they were answered."""
        return self.answered + self.unanswered

    @property
    def share(self) -> float:
        """The part of these that was not answered; 0 where there are none."""
        return self.unanswered / self.known if self.known else 0.0

    def plus(self, other: Sample) -> Sample:
        """Both together."""
        return Sample(*map(operator.add, self, other))

    def minus(self, other: Sample) -> Sample:
        """What is left without those."""
        return Sample(*map(operator.sub, self, other))


NO_FLOWS = Sample()


def together(samples: Iterable[Sample]) -> Sample:
    """All of them."""
    return reduce(Sample.plus, samples, NO_FLOWS)


def named(servers: Mapping[K, Sample], clients: Callable[[K], int]) -> set[K]:
    """The servers of a pool whose answers do not reach the clients. clients: of how many addresses the flows were that
    a server did not answer; asked where all else is true."""
    suspects = {key for key, seen in servers.items() if seen.unanswered >= FLOWS and seen.share >= HIGH}
    well = together(seen for seen in servers.values() if seen.known and seen.share <= LOW)
    if not suspects or well.answered < FLOWS:
        return set()
    return {
        key for key in suspects if chance(servers[key], well) * CHANCE * len(servers) < 1 and clients(key) >= CLIENTS
    }


def everywhere(servers: Mapping[K, Sample], clients: Callable[[K], int]) -> bool:
    """Whether the clients of a whole pool hear nothing, whoever it is that answers."""
    whole = together(servers.values())
    if whole.unanswered < 2 * FLOWS or whole.share < MANY:
        return False
    return max(map(clients, servers)) >= CLIENTS


def chance(one: Sample, well: Sample) -> float:
    """How likely it is that of the unanswered flows of a server and of others so many fall to it, when each may fall to
    any of them according to its part of all flows: the upper tail of a binomial distribution."""
    mine, others = max(one.begun, one.known), max(well.begun, well.known)
    part, total = mine / (mine + others), one.unanswered + well.unanswered
    logarithm = math.lgamma(total + 1) - math.lgamma(one.unanswered + 1) - math.lgamma(well.unanswered + 1)
    logarithm += one.unanswered * math.log(part) + well.unanswered * math.log(1 - part)
    term = tail = math.exp(logarithm)
    for number in range(one.unanswered + 1, total + 1):
        term *= (total - number + 1) / number * part / (1 - part)
        tail += term
    return tail


def mended(share: float, answered: int) -> bool:
    """Whether a server that was named with a share is all right. answered: so many flows were since the last that was
    not."""
    return answered >= FLOWS and (1 - share) ** answered * SURE < 1


def still(seen: Sample) -> bool:
    """Whether a server that was named goes on being so."""
    return seen.unanswered >= FLOWS and seen.share >= HIGH / 2


def words(seen: Sample, client: str) -> str:
    """Of a server that is named, for an operator. client: one that hears nothing."""
    return (
        f"{_counted(seen)} at the client, and those of other servers do: is its gateway or route to the clients wrong "
        f"(on the server: {command('ip route get {}', client)}), or the listen queue of its program full?"
    )


def words_everywhere(seen: Sample) -> str:
    """Of a pool whose clients hear nothing, for an operator."""
    return (
        f"{_counted(seen)} at the client, whatever the server: are the servers' gateways or routes to the clients "
        "wrong, is the network between them broken, or is this a flood of SYNs?"
    )


def _counted(seen: Sample) -> str:
    return (
        f"{100 * seen.share:.0f} % of new TCP connections ({seen.unanswered} of {seen.known} looked at) get no answer"
    )
