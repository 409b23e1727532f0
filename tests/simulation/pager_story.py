"""Stories of lists: a list that comes to its end without an error has given each customer once, and left none out."""

from __future__ import annotations

import random
from collections import Counter

from amili_arm_async import ArmClient

from .plan import Act, Plan
from .story import Begun, Story

__all__ = ["PagerStory", "draw"]

_FAULTS = ("list_fails", "list_cut", "page_repeated", "page_lost", "query_expired", "record_lost", "no_next_page", "refused", "token_fails")


def draw(seed: int) -> Plan:
    """Draws the story of a seed."""
    rng = random.Random(f"{seed}/pager")
    customers = rng.choice((0, 4, 12, 24, 50))
    acts = tuple(
        Act(
            "list",
            cancel_at=int(rng.expovariate(1 / 40)) + 2 if rng.random() < 0.2 else None,
            freeze_at=int(rng.expovariate(1 / 40)) + 2 if rng.random() < 0.2 else None,
            freeze_for=rng.choice((1.0, 50.0, 1000.0)),
            page=rng.choice((5, 7, 10)),
            ahead=rng.choice((0, 0, 1, 3)),
            moves=rng.choice((0, 1, 3)),
            move=rng.choice(("added", "inserted", "deleted")),
        )
        for _ in range(rng.choice((1, 2, 3)))
    )
    faults = tuple(fault for fault in _FAULTS if rng.random() < 0.4)
    return Plan("pager", seed, acts, faults, rng.choice((0.02, 0.1, 0.3)), customers)


class PagerStory(Story):
    """One list, and those who read it."""

    async def main(self, arm: ArmClient, begun: Begun) -> None:
        act = begun.act
        pager = arm.customers.list(page_size=act.page)
        if act.ahead:
            async with pager.prefetch(act.ahead) as records:
                async for record in records:
                    begun.made.append(record.customer_no)
        else:
            async for record in pager:
                begun.made.append(record.customer_no)

    def before(self, act: Act) -> None:
        self.service.listed = [{"customerNo": f"C{number:03}", "name": "x"} for number in range(self.plan.customers)]
        self.service.moves, self.service.move = act.moves, act.move

    def after(self, begun: Begun) -> None:
        if begun.is_cut:
            return
        given = Counter(begun.made)
        if twice := sorted(name for name, number in given.items() if number > 1):
            self.violate("once", f"{twice} were given more than once")
        # Those who are there all the time.
        missing = sorted({record["customerNo"] for record in self.service.listed if record["customerNo"][0] == "C"} - given.keys())
        if missing:
            self.violate("all are given", f"{missing} were not given, and the list ended without an error")

    def morning(self) -> None:
        begun = self.do(Act("list", ahead=self.plan.seed % 3))[0]
        if begun.is_cut:
            self.violate("all are given", f"{begun.failure!r} though the service is well")
