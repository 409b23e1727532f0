"""Stories of lists, and of many customers by number.

A list that comes to its end without an error has given each customer once, in order, and left none out; and one that is whole ends without
an error. Each number is answered with its customer, or with the proof that there is none.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

from amili_arm_async import ArmClient, ResponseError, TruncatedListError

from .base_story import tasks_of
from .lists import CAP, LIST_FAULTS, ODD_LISTS
from .plan import Act, Plan
from .story import Begun, Story

__all__ = ["PagerStory", "draw"]

_FAULTS = (*LIST_FAULTS, "get_fails", "get_cut", "get_page", "refused", "token_fails")

_NARROW = 0.2
"""How many stories have nothing but what together leads to a place that others hardly ever reach."""

_TAKES = ("records", "records", "pages", "raw", "collect")


def draw(seed: int) -> Plan:
    """Draws the story of a seed."""
    rng = random.Random(f"{seed}/pager")
    customers = rng.choice((0, 4, 12, 24, 50))
    acts = tuple(_draw_act(rng) for _ in range(rng.choice((1, 2, 3))))
    # Half of the stories have few faults, so that lists come to their ends.
    share = rng.choice((0.1, 0.4))
    faults = tuple(fault for fault in _FAULTS if rng.random() < share)
    if any(act.odd in {"unannounced", "empty without end"} for act in acts):
        # Nobody can tell that such a list has lost something.
        faults = tuple(fault for fault in faults if fault not in {"page_lost", "record_lost", "no_next_page"})
    drawn = Plan("pager", seed, acts, faults, rng.choice((0.02, 0.1, 0.3)), customers)
    return _narrow(rng, drawn) if rng.random() < _NARROW else drawn


def _narrow(rng: random.Random, drawn: Plan) -> Plan:
    """Makes a story of few faults in long lists that are read to their ends."""
    ahead, page, customers = rng.choice((0, 3)), rng.choice((5, 7)), rng.choice((24, 50))
    which = rng.random()
    if which < 0.2:
        return replace(drawn, acts=(Act("list", page=page, ahead=ahead, odd="without end"),), faults=())
    if which < 0.4:
        # A page comes again, and lacks a record.
        acts = (Act("list", page=5, ahead=ahead),) * 3
        return replace(drawn, acts=acts, faults=("record_lost", "link_back"), odds=0.3, customers=rng.choice((6, 12)))
    if which < 0.7:
        # What was on the first page is asked for again, once others came before it.
        acts = (Act("list", page=page, ahead=ahead, moves=3, move="inserted"),) * 3
        return replace(drawn, acts=acts, faults=("page_repeated",), odds=0.3, customers=customers)
    # A link that leads nowhere, in a list that does not say how long it is.
    acts = (Act("list", page=page, ahead=ahead, odd="unannounced"),) * 2
    faults = (rng.choice(("odd_link", "link_back", "query_expired", "page_repeated")),)
    return replace(drawn, acts=acts, faults=faults, odds=0.1, customers=customers)


def _draw_act(rng: random.Random) -> Act:
    odd = rng.choice(ODD_LISTS) if rng.random() < 0.4 else ""
    return Act(
        rng.choice(("list", "list", "list", "get")),
        cancel_at=int(rng.expovariate(1 / 40)) + 2 if rng.random() < 0.2 else None,
        freeze_at=int(rng.expovariate(1 / 40)) + 2 if rng.random() < 0.2 else None,
        freeze_for=rng.choice((1.0, 50.0, 1000.0)),
        page=rng.choice((5, 7, 10)),
        ahead=rng.choice((0, 0, 1, 3)),
        odd=odd,
        first=rng.choice((2, 3)) if not odd and rng.random() < 0.2 else 1,
        take=rng.choice(_TAKES),
        leaves=rng.randrange(1, 12) if rng.random() < 0.2 else 0,
        raises=rng.randrange(1, 6) if rng.random() < 0.3 else 0,
        order=rng.randrange(1, 1000),
        # What comes and goes is announced; else nobody can tell.
        moves=rng.choice((0, 0, 1, 3)) if not odd else 0,
        move=rng.choice(("added", "inserted", "deleted")),
    )


class _SourceFailedError(Exception):
    """What the program raises that asks for customers."""


class PagerStory(Story):
    """One list, and those who read it."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        # What the list had when it was asked for, and how often each fault had struck.
        self._listed: list[str] = []
        self._struck: Counter[str] = Counter()

    async def main(self, arm: ArmClient, begun: Begun) -> None:
        act = begun.act
        try:
            if act.what == "get":
                await self._get_many(arm, begun)
            else:
                await self._list(arm, begun)
        finally:
            # Whoever has left it must not find requests that still run.
            if left := tasks_of(begun.process):
                self.violate("left behind", f"{len(left)} tasks after the list, such as {left[0].get_name()}")

    async def _list(self, arm: ArmClient, begun: Begun) -> None:
        act, made = begun.act, begun.made
        pager = arm.customers.list(page_size=act.page, page_no=act.first if act.first > 1 else None)
        if act.ahead:
            async with pager.prefetch(act.ahead) as records:
                async for record in records:
                    made.append(record.customer_no)
                    if len(made) == act.leaves:
                        break
        elif act.take == "collect":
            made += [record.customer_no for record in await pager.collect()]
        elif act.take == "pages":
            async for page in pager.pages():
                made += [record.customer_no for record in page.items]
        elif act.take == "raw":
            async for text in pager.raw():
                made.append(json.loads(text)["customerNo"])
        else:
            async for record in pager:
                made.append(record.customer_no)
                if len(made) == act.leaves:
                    break

    async def _get_many(self, arm: ArmClient, begun: Begun) -> None:
        act = begun.act
        numbers = self._numbers(act)
        asked = self._asked(begun, numbers)
        given = _one_by_one(asked, act.raises) if act.order % 2 else _later(asked, act.raises)
        try:
            async with arm.customers.get_many(given, concurrency=act.ahead + 1) as found:
                async for number, record in found:
                    begun.made.append((number, record and record.customer_no))
                    if len(begun.made) == act.leaves:
                        break
        except _SourceFailedError:
            begun.made.append("raised")

    def _asked(self, begun: Begun, numbers: list[str]) -> Iterator[str]:
        """Gives numbers, and looks how many were taken and are not answered yet."""
        for place, number in enumerate(numbers):
            if place - len(begun.made) > begun.act.ahead:
                self.violate("at once", f"{place + 1} numbers were taken, and {len(begun.made)} are answered")
            yield number

    def _numbers(self, act: Act) -> list[str]:
        """The numbers that are asked for: those of the list, spelled otherwise too, some twice, and some that there are not."""
        rng = random.Random(f"{self.plan.seed}/{act.order}")
        numbers = [*(f"C{number:03}" for number in range(self.plan.customers)), "N998", "N999", "c000", "C001"]
        rng.shuffle(numbers)
        return numbers[:12]

    def before(self, act: Act) -> None:
        service = self.service
        service.listed = [{"customerNo": f"C{number:03}", "name": "x"} for number in range(self.plan.customers)]
        service.moves, service.move, service.odd_list = act.moves, act.move, act.odd
        self._listed = [record["customerNo"] for record in service.listed]
        self._struck = service.struck.copy()

    # --- what must be true ----------------------------------------------------------------------------------------------------

    def after(self, begun: Begun) -> None:
        if begun.act.what == "get":
            self._is_answered(begun)
            return
        made, act = begun.made, begun.act
        struck = (self.service.struck - self._struck).keys() & set(LIST_FAULTS)
        if struck and (act.first > 1 or act.odd == "without end"):
            # Nobody can tell what was before the page that it began with, nor where such a list ends.
            return
        is_cut_off = act.odd == "capped" and len(self._listed) >= CAP
        is_whole = not act.moves and act.odd != "without end" and not struck and not is_cut_off
        if is_whole and isinstance(begun.failure, (ResponseError, TruncatedListError)):
            self.violate("all are given", f"{begun.failure!r}, and the list was whole")
        wanted = self._listed[(act.first - 1) * act.page :]
        if is_whole and made != wanted[: len(made)]:
            self.violate("order", f"{made} were given of {wanted}")
        if begun.is_cut:
            return
        if act.odd == "without end" and not act.leaves:
            self.violate("all are given", "a list without an end has ended")
        given = Counter(made)
        if twice := sorted(name for name, number in given.items() if number > 1):
            self.violate("once", f"{twice} were given more than once")
        # Those who are there all the time.
        there = {record["customerNo"] for record in self.service.listed}
        missing = sorted(there & set(wanted) - given.keys())
        if missing and not (act.leaves and len(made) >= act.leaves):
            self.violate("all are given", f"{missing} were not given, and the list ended without an error")

    def _is_answered(self, begun: Begun) -> None:
        """Each number is answered in its turn, with its customer; with None only where there is none."""
        act, numbers = begun.act, self._numbers(begun.act)
        there = {name.casefold(): name for name in self._listed}
        wanted: list[Any] = [(number, there.get(number.casefold())) for number in numbers]
        if act.raises and act.raises <= len(numbers):
            wanted = [*wanted[: act.raises], "raised"]
        if begun.made != wanted[: len(begun.made)]:
            self.violate("by number", f"{begun.made} in place of {wanted}")
        if not begun.is_cut and len(begun.made) != min(act.leaves or len(wanted), len(wanted)):
            self.violate("by number", f"{len(begun.made)} of {len(wanted)} answers, and no error")

    def morning(self) -> None:
        begun = self.do(Act("list", ahead=self.plan.seed % 3))[0]
        if begun.is_cut:
            self.violate("all are given", f"{begun.failure!r} though the service is well")


def _one_by_one(numbers: Iterator[str], raises: int) -> Iterator[str]:
    place = 0
    for place, number in enumerate(numbers, 1):
        if raises and place > raises:
            raise _SourceFailedError
        yield number
    if raises == place:
        raise _SourceFailedError


async def _later(numbers: Iterator[str], raises: int) -> AsyncIterator[str]:
    for number in _one_by_one(numbers, raises):
        await asyncio.sleep(0.05)
        yield number
