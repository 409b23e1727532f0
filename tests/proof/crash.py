"""A run that is killed and started again until it ends by itself, and the accounts that must balance then."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..support.ledger import content_hash
from .accounts import Account, account_from, check, check_once
from .control import Tenant, Truth
from .fork_server import Child, ForkServer
from .kill_points import ONLY_IN_A_FILE, POINTS
from .sources import Source

__all__ = ["OPTIONS", "Trial", "named", "random_kill", "side_by_side"]

OPTIONS: dict[str, Any] = {
    "max_records": 4,
    "concurrency": 3,
    "poll_first": 0.002,
    "poll_max": 0.02,
    "patience": 5.0,
    "deadline": 10.0,
}


@dataclass
class Trial:
    """One run, all its attempts, and what they told.

    Attributes:
        tenant, fork_server: where it sends to, and what starts it.
        source: what it sends.
        operation: `documents.create_many` and its like.
        journal: the path that it is given, or the URL of a database.
        options: of the run.
        read: seconds until it no longer waits for an answer.
        changing: whether each attempt yields its records in another order and form.
    """

    tenant: Tenant
    fork_server: ForkServer
    source: Source
    journal: Path | str
    operation: str = "documents.create_many"
    options: dict[str, Any] = field(default_factory=lambda: dict(OPTIONS))
    run_id: str = "2026-11-20"
    changing: bool = True
    read: float = 2.0
    attempts: int = 0
    kills: int = 0
    places: list[int] = field(default_factory=list)
    last_options: dict[str, Any] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)

    def start(self, *, kill: dict[str, Any] | None = None, share: float = 1.0, options: dict[str, Any] | None = None, **more: Any) -> Child:
        """Starts an attempt."""
        order = self.attempts if self.changing else 0
        self.places = self.source.order(order, share)
        self.last_options = {**self.options, "journal": str(self.journal), "run_id": self.run_id, **(options or {})}
        settings = {
            "source": vars(self.source),
            "places": self.places,
            "attempt": order,
            "operation": self.operation,
            "client": self.tenant.client,
            "base_url": self.tenant.base_url,
            "identity_url": self.tenant.identity_url,
            "user": f"attempt-{self.attempts}",
            "options": self.last_options,
            "kill": kill,
            "read": self.read,
            **more,
        }
        self.attempts += 1
        self.log.append(f"attempt {self.attempts}: share {share:g}, kill {kill}, {more}")
        return self.fork_server.start(settings)

    def attempt(self, **settings: Any) -> dict[str, Any] | None:
        """One attempt to its end; None where it was killed."""
        found = self.start(**settings).wait()
        self.kills += found is None
        self.log.append("  killed" if found is None else f"  {found['ended']}: {found.get('counts')} {found.get('text', '')}")
        return found

    def kill_at(self, kill: dict[str, Any], **settings: Any) -> None:
        """An attempt that must be killed there."""
        found = self.attempt(kill=kill, **settings)
        point = POINTS.get(kill.get("point", ""))
        where = f"{kill} ({point.function}, {point.when})" if point is not None else f"{kill}"
        assert found is None, f"NEVER REACHED: the kill {where}; the run ended: {found['ended']} {found.get('text', '')}"

    def finish(self, **settings: Any) -> Account:
        """The attempt that is left alone: it must end with a report, and all accounts must balance."""
        found = self.attempt(**settings)
        assert found is not None
        assert found["ended"] == "report", self.story(found.get("traceback", found.get("text", "")))
        return self.balance(found)

    def balance(self, found: dict[str, Any]) -> Account:
        """What an attempt told is what the server knows."""
        truth = self.tenant.truth()
        kind = self.source.kind
        all_records = self.source.records()
        records = [all_records[place] for place in self.places]
        try:
            whole = found["ended"] == "report"
            # A generator whose run stops is not read to its end.
            assert found["read"] == len(records) or not whole
            records = records[: found["read"]]
            accepted = self.last_options.get("results") == "accepted"
            account = account_from(found["counts"], found["failures"], len(records), found["left_behind"], accepted_is_enough=accepted)
            # A customer goes out again after a crash: that this try was refused says nothing of an earlier attempt's.
            check(kind, records, account, truth, ended_by=None if whole and kind == "documents" else self.user)
            if kind == "documents":
                check_once(all_records, truth)
        except AssertionError as exc:
            raise AssertionError(self.story(str(exc))) from exc
        return account

    @property
    def user(self) -> str:
        """What the last attempt is called in its requests."""
        return f"attempt-{self.attempts - 1}"

    def writes_of(self, truth: Truth) -> int:
        """How many writes the last attempt sent."""
        return sum(write["user"] == self.user for write in truth.writes)

    def check_customers(self, truth: Truth) -> None:
        """The last version of each customer that the server took is the last one of the source."""
        last = {record["customerNo"]: record for record in self.source.records()}
        stored = {line.key: line for line in truth.lines}
        for number, record in last.items():
            assert number in stored, self.story(f"{number} never arrived")
            assert stored[number].content == content_hash(record), self.story(f"an older {number} came after a newer one")

    def story(self, what: str) -> str:
        """What is needed to do it again."""
        return "\n".join([what, f"source {self.source}, options {self.options}, journal {self.journal}", *self.log])


def random_kill(rng: random.Random, points: Iterable[str], *, is_file: bool = True) -> dict[str, Any]:
    """A kill at a named point, at a statement of SQL or an exchange with a database, or at a turn of the loop."""
    how = rng.random()
    if not is_file:
        points = set(points) - ONLY_IN_A_FILE
    if how < 0.45:
        point = rng.choice(sorted(points))
        return {"point": point, "count": 1 if POINTS[point].once else rng.choice([1, 1, 2, 3, 5])}
    if how < 0.75:
        where = {"sql": rng.randrange(1, 60)} if is_file else {"exchange": rng.randrange(1, 30)}
        return {**where, "when": rng.choice(["before", "after"])}
    return {"turn": rng.randrange(1, 250)}


def side_by_side(program: Callable[[Any], None], cases: Iterable[Any]) -> None:
    """The same program for each case, a few at a time: each waits for its processes, or for time to pass, most of the time."""

    def one(case: Any) -> None:
        try:
            program(case)
        except AssertionError as exc:
            exc.add_note(f"case {case!r}")
            raise

    with ThreadPoolExecutor(4) as pool:
        for ended in [pool.submit(one, case) for case in cases]:
            ended.result()


def named(account: Account) -> str:
    """What an account names, in one line."""
    rows = zip(account.states, account.reasons, account.keys, strict=True)
    return f"{account.counts}: " + ", ".join(f"{place}={row}" for place, row in enumerate(rows) if row[0] != "success")
