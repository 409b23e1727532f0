"""What the proofs have in common: records of every kind and form, quick settings, and the accounts that must balance."""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec

from amili_arm_async import ArmClient, BulkOptions, BulkReport, ClientCredentials, Customer, Document, RetryPolicy, Timeout

from ..support.ledger import Identity, content_hash, identity_of
from .control import Tenant, Truth

__all__ = ["Account", "account_of", "check", "in_form", "make_client", "quick", "shuffled_keys"]

QUICK: dict[str, Any] = {"max_records": 5, "concurrency": 1, "poll_first": 0.002, "poll_max": 0.02, "patience": 5.0, "deadline": 10.0}


def quick(**more: Any) -> BulkOptions:
    """Options that lose no time."""
    return BulkOptions(**{**QUICK, **more})


def make_client(tenant: Tenant, *, read: float = 5.0, base_url: str | None = None, user_id: str | None = None) -> ArmClient:
    """A client on a tenant, whose tokens come from its identity service. It waits long for an answer, unless one is not to come."""
    auth = ClientCredentials(client_id="proof", client_secret="proof", identity_url=tenant.identity_url)
    return ArmClient(
        tenant.client,
        auth=auth,
        base_url=base_url or tenant.base_url,
        user_id=user_id,
        timeout=Timeout(connect=0.15, read=read),
        retry=RetryPolicy(base_delay=0.002, max_delay=0.02),
    )


# --- records ------------------------------------------------------------------------------------------------------------


def shuffled_keys(value: Any, rng: random.Random) -> Any:
    """The same value with the keys of its objects in another order."""
    if isinstance(value, dict):
        names = list(value)
        rng.shuffle(names)
        return {name: shuffled_keys(value[name], rng) for name in names}
    return [shuffled_keys(item, rng) for item in value] if isinstance(value, list) else value


def in_form(kind: str, value: dict[str, Any], form: int, rng: random.Random) -> Any:
    """The same record as a Struct, as a mapping, or as bytes, with the keys of mappings and bytes in another order."""
    if form % 3 == 0:
        return msgspec.convert(_decimals(value), Document if kind == "documents" else Customer, strict=False)
    value = shuffled_keys(value, rng)
    return value if form % 3 == 1 else json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _decimals(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _decimals(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_decimals(item) for item in value]
    return Decimal(repr(value)) if isinstance(value, float) else value


# --- what must be true --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Account:
    """A run's own words: the state and reason of each record by its index, and the sums."""

    counts: Mapping[str, int]
    states: Sequence[str]
    reasons: Sequence[str]
    keys: Sequence[str | None]
    left_behind: Mapping[str, int]


def account_of(report: BulkReport, records: int) -> Account:
    """What a report says of each record."""
    assert report.totals.records_read == records
    failures = [[failure.index, failure.key, failure.state, failure.reason] for failure in report.failures()]
    return account_from(report.counts, failures, records, getattr(report, "left_behind", {}))


def account_from(
    counts: Mapping[Any, int],
    failures: Iterable[Sequence[Any]],
    records: int,
    left_behind: Mapping[Any, int] | None = None,
    *,
    accepted_is_enough: bool = False,
) -> Account:
    """The account of a run; records that it does not name succeeded. Which of those were done before it does not say.

    In a run with `results="accepted"` the server took them, and more was not asked for.
    """
    states, reasons = ["success"] * records, [""] * records
    keys: list[str | None] = [None] * records
    for index, key, state, reason in failures:
        assert states[index] == "success", f"record {index} is named twice"
        states[index], reasons[index], keys[index] = state, reason, key
    assert sum(counts.values()) == records, f"the counts {dict(counts)} do not add up to {records}"
    expected = Counter({state: number for state, number in counts.items() if number})
    silent = ("succeeded", "done_before", "unchanged", *(["accepted"] if accepted_is_enough else []))
    successes = sum(expected.pop(state, 0) for state in silent)
    named = Counter(states)
    assert named.pop("success", 0) == successes, "the counts and the names differ"
    assert named == expected, "the counts and the names differ"
    return Account(dict(counts), states, reasons, keys, dict(left_behind or {}))


def check(kind: str, records: Sequence[dict[str, Any]], account: Account, truth: Truth, *, ended_by: str | None = None) -> None:
    """Whatever happened, the server's truth and the run's words agree. (`check_once` is to be asked with all records of the source.)

    Args:
        kind: `documents` or `customers`.
        records: what the run read, in its order.
        account: what it told.
        truth: what the server took, from all attempts.
        ended_by: the attempt, where what it calls untaken may have been taken by an earlier one: it stopped before it came to that.
    """
    lines = [line for line in truth.lines if line.kind == kind]
    touched = Counter(line.identity for line in lines)
    taken = Counter(line.identity for line in lines if line.is_success)
    by_this = Counter(line.identity for line in lines if line.is_success and ended_by in {None, line.user})
    by_identity: defaultdict[Identity, Counter[str]] = defaultdict(Counter)
    for record, state in zip(records, account.states, strict=True):
        by_identity[identity_of(kind, record)][state] += 1
    for identity, states in by_identity.items():
        told = f"{identity}: {dict(states)}, taken {taken[identity]} times"
        done = states["success"] if kind == "documents" else min(states["success"], 1)
        assert taken[identity] >= done, f"called done, and was not taken: {told}"
        assert touched[identity] or not states["accepted"] + states["failed"], f"nobody took it: {told}"
        may_be_there = states["success"] + states["accepted"] + states["unknown"] + states["failed"]
        if kind == "documents":
            # A number that conflicts, or comes twice, is named as invalid beside the one that counts.
            most = 1 if identity.numbered and states["invalid"] else may_be_there
            assert by_this[identity] <= most, f"taken, and called untaken, or taken twice: {told}"
        elif not may_be_there:
            assert not by_this[identity], f"taken, and called untaken: {told}"


def check_once(records: Iterable[dict[str, Any]], truth: Truth) -> None:
    """No document was taken more often than the source has it."""
    wanted = Counter(identity_of("documents", record) for record in records)
    for identity in wanted:
        if identity.numbered:
            wanted[identity] = 1
    taken = Counter(line.identity for line in truth.lines if line.is_success and line.kind == "documents")
    twice = {identity: number for identity, number in taken.items() if number > wanted[identity]}
    assert not twice, f"TAKEN TWICE: {twice}"


def same_content(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two records say the same."""
    return content_hash(one) == content_hash(other)
