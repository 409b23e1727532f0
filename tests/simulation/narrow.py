"""More narrow stories of documents: families of few faults and acts, which together lead to a place that others hardly ever reach.

The numbers in a story are drawn, so that it leads to the neighbours of that place, too.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from .drawing import OTHER_RUN, RUN, Act, Scenario
from .service import BLIND_TO_BLANKS, BLIND_TO_LONG, BLIND_TO_SLASHES, OLD_TOKENS, SHORT_TOKENS

__all__ = ["FAMILIES", "draw_narrow"]

Family = Callable[[random.Random, Scenario], Scenario]
FAMILIES: list[Family] = []

_PLAIN = 0.75
"""How many of them have documents that are all different, have a number and can be sent."""

_LATE = ("silence_after", "slow_processing", "look_up_lags")
"""What makes documents appear long after they were sent, while nobody knows whether they were taken."""


def draw_narrow(drawn: Scenario) -> Scenario:
    """Draws a narrow story from another one: by chance of its own, so that other stories stay what they are."""
    rng = random.Random(f"{drawn.seed}/narrow")
    family = rng.choice(FAMILIES)
    if rng.random() < _PLAIN:
        drawn = replace(drawn, unnumbered=0, repeats=0, invalid=0, max_bytes=None)
    return family(rng, drawn)


def _family(make: Family) -> Family:
    FAMILIES.append(make)
    return make


def _turn(rng: random.Random, mean: int, least: int) -> int:
    """A turn of the loop, more often an early one."""
    return int(rng.expovariate(1 / mean)) + least


def _with(drawn: Scenario, documents: int, acts: tuple[Act, ...], **settings: Any) -> Scenario:
    """A story of so many documents, of which no act sends more."""
    acts = tuple(replace(act, documents=min(act.documents, documents)) for act in acts)
    unnumbered = min(settings.pop("unnumbered", drawn.unnumbered), documents)
    return replace(drawn, documents=documents, acts=acts, unnumbered=unnumbered, **settings)


def _some(rng: random.Random, *faults: str) -> tuple[str, ...]:
    """One or more of the faults."""
    return tuple(rng.sample(faults, rng.randrange(1, len(faults) + 1)))


# --- what is sent -----------------------------------------------------------------------------------------------------------


@_family
def conflicts(rng: random.Random, drawn: Scenario) -> Scenario:
    """A run is done again with other content, and ends at the first conflicts: the rest must be compared all the same."""
    documents = rng.choice((4, 8, 12))
    again = Act(
        "send",
        changed=rng.choice((documents, rng.randrange(1, documents + 1))),
        dead_letter=rng.random() < 0.8,
        stop_after=rng.choice((None, 1, 1, 2)),
        order=rng.choice((0, 0, rng.randrange(1, 1000))),
    )
    more = (replace(again, changed=0, stop_after=None),) if rng.random() < 0.3 else ()
    faults = drawn.faults[: rng.choice((0, 1))]
    concurrency = rng.choice((1, 1, 2))
    return _with(drawn, documents, (Act("send"), again, *more), faults=faults, batch=rng.choice((1, 1, 2)), concurrency=concurrency)


@_family
def twice_in_a_batch(rng: random.Random, drawn: Scenario) -> Scenario:
    """Numbers come twice in one batch, more often without a journal."""
    documents, repeats = rng.choice((4, 6, 8)), rng.choice((1, 2, 3))
    send = Act("send", bare=rng.random() < 0.7, order=rng.choice((0, rng.randrange(1, 1000))), streamed=rng.random() < 0.3)
    batch, faults = rng.choice((documents + repeats, documents, 5)), drawn.faults[: rng.choice((0, 1))]
    return _with(drawn, documents, (send,), faults=faults, repeats=repeats, batch=batch)


@_family
def without_numbers(rng: random.Random, drawn: Scenario) -> Scenario:
    """No document has a number, some say the same, and several of these fail before the run is done again, and ends early."""
    again = Act("send", order=rng.choice((0, rng.randrange(1, 1000))), stop_after=rng.choice((None, None, 1)))
    faults = ("proved_refusal", *_some(rng, "record_fails", "bad_data"))
    documents, odds = rng.choice((8, 12, 12)), rng.choice((0.3, 0.5))
    acts = (Act("send"), *(again for _ in range(rng.choice((1, 2)))))
    return _with(drawn, documents, acts, faults=faults, odds=odds, unnumbered=documents, batch=rng.choice((1, 2, 3)))


@_family
def more_trouble_than_patience(rng: random.Random, drawn: Scenario) -> Scenario:
    """Many batches one after the other, with troubles between that last longer than the patience of the run when taken together."""
    faults = rng.sample(("proved_refusal", "silence_before", "slow_answer", "probe_fails"), 3)
    concurrency = rng.choice((1, 1, 2))
    return _with(drawn, 24, (Act("send", documents=24),), faults=tuple(faults), odds=0.3, batch=1, concurrency=concurrency)


@_family
def in_doubt(rng: random.Random, drawn: Scenario) -> Scenario:
    """Batches are taken, and answered with a status that does not say so."""
    again = (Act("send", reconcile=rng.random() < 0.5, resend_absent=rng.random() < 0.5),) if rng.random() < 0.5 else ()
    faults = ("odd_status_after", *rng.sample(("redirect", "status_before", "probe_fails"), rng.choice((0, 1))))
    return _with(drawn, rng.choice((8, 12)), (Act("send"), *again), faults=faults, odds=rng.choice((0.3, 0.6)), batch=rng.choice((1, 2)))


@_family
def tokens(rng: random.Random, drawn: Scenario) -> Scenario:
    """A run lasts longer than its tokens."""
    faults = (rng.choice((OLD_TOKENS, OLD_TOKENS, SHORT_TOKENS)), *_some(rng, "slow_processing", "slow_answer"))
    send, odds = Act("send", given_as="async", money=rng.random() < 0.3), rng.choice((0.3, 0.5))
    return _with(drawn, rng.choice((8, 12, 24)), (send,), faults=faults, odds=odds, batch=rng.choice((1, 1, 2)), token=False)


@_family
def forms_of_results(rng: random.Random, drawn: Scenario) -> Scenario:
    """Results of all forms, more often of documents without a number: entries do not say whose they are."""
    documents = rng.choice((8, 12))
    acts = (Act("send"), Act("send", order=rng.choice((0, 1)))) if rng.random() < 0.3 else (Act("send"),)
    forms = rng.choice((("other_result",), ("rare_result",), ("other_result", "rare_result"), ("other_result",)))
    settings = {"odds": rng.choice((0.3, 0.5)), "unnumbered": rng.choice((0, documents)), "batch": rng.choice((2, 3, 4, 5))}
    return _with(drawn, documents, acts, faults=(*forms, "record_fails"), **settings)


# --- what is looked up ------------------------------------------------------------------------------------------------------


@_family
def sent_again(rng: random.Random, drawn: Scenario) -> Scenario:
    """What never came is sent again by a run that has another order or part of the documents."""
    documents = rng.choice((8, 12))
    part = rng.choice((documents, documents, documents // 2))
    again = Act("send", documents=part, reconcile=True, resend_absent=True, order=rng.choice((0, rng.randrange(1, 1000))))
    faults = rng.choice((("silence_before", "reset_before"), ("silence_before",), ("silence_before", "silence_after")))
    return _with(drawn, documents, (Act("send"), again), faults=faults, odds=rng.choice((0.6, 0.7)), batch=rng.choice((2, 3)))


@_family
def cancelled_while_it_sends_again(rng: random.Random, drawn: Scenario) -> Scenario:
    """What never came is sent again by a run that is cancelled at one of its commits."""
    # Few documents: so that the commits of looking up and sending again are those that a number below is drawn for.
    documents = rng.choice((4, 4, 4, 6))
    again = Act("send", reconcile=True, resend_absent=True, cancel_on_commit=rng.randrange(8, 45), cancel_before=rng.random() < 0.5)
    again = replace(again, cancel_again=rng.choice((None, None, 1, 2)))
    faults = rng.choice((("silence_before", "reset_before"), ("silence_before",)))
    return _with(drawn, documents, (Act("send"), again), faults=faults, odds=0.7, batch=1)


@_family
def found_in_some_forms(rng: random.Random, drawn: Scenario) -> Scenario:
    """Documents are taken unheard, some of a batch are not, and look-ups find only numbers of some forms."""
    blind = rng.choice((BLIND_TO_LONG, BLIND_TO_LONG, BLIND_TO_SLASHES, BLIND_TO_BLANKS))
    taken = rng.choice(("silence_after", "silence_after", "reset_after"))
    faults = (taken, blind, *(("record_fails",) if rng.random() < 0.6 else ()))
    forms = {"lengths": blind == BLIND_TO_LONG, "slashes": blind == BLIND_TO_SLASHES, "blanks": blind == BLIND_TO_BLANKS}
    acts = (Act("send"), *(Act("send", reconcile=True, resend_absent=True) for _ in range(rng.choice((1, 1, 2)))))
    # The first half of the numbers has one form: with three in a batch, one batch has both.
    documents, batch = rng.choice(((4, 1), (8, 2), (8, 3), (8, 3), (4, 3)))
    return _with(drawn, documents, acts, faults=faults, odds=rng.choice((0.4, 0.4, 0.6)), unnumbered=0, batch=batch, **forms)


@_family
def odd_look_ups(rng: random.Random, drawn: Scenario) -> Scenario:
    """Documents are taken unheard, and look-ups are answered with something else, or not."""
    taken = rng.choice(("silence_after", "silence_after", "reset_after", "status_after"))
    faults = (taken, *rng.choice((("look_up_odd",), ("look_up_odd",), ("look_up_odd", "look_up_fails"))))
    looks = rng.choice((Act("send", reconcile=True, resend_absent=True), Act("reconcile", resend_absent=True)))
    acts = (Act("send"), *(looks for _ in range(rng.choice((1, 2)))))
    documents, odds = rng.choice((4, 8, 12)), rng.choice((0.4, 0.6))
    return _with(drawn, documents, acts, faults=faults, odds=odds, unnumbered=0, batch=rng.choice((1, 1, 2)))


@_family
def late(rng: random.Random, drawn: Scenario) -> Scenario:
    """Documents appear late, and a second run waits for results for a shorter time than the first, or wants to."""
    first = Act("send", deadline=rng.choice((600.0, 600.0, 120.0)), kill_at=_turn(rng, 60, 30) if rng.random() < 0.4 else None)
    again = Act("send", reconcile=True, resend_absent=True, settle=rng.choice((None, 130.0, 130.0, 1.0)))
    looks = rng.choice((again, again, Act("reconcile", resend_absent=True)))
    wait = (Act("wait", jump=rng.choice((100.0, 4000.0))),) if rng.random() < 0.2 else ()
    documents = rng.choice((4, 8, 12))
    return _with(drawn, documents, (first, *wait, looks), faults=_LATE, odds=0.6, unnumbered=0, batch=rng.choice((1, 1, 2)))


@_family
def put_back(rng: random.Random, drawn: Scenario) -> Scenario:
    """A copy of the journal is put back, and what was sent since may still be on its way."""
    documents = rng.choice((3, 4, 8, 12))
    wait = (Act("wait", jump=4000.0),) if rng.random() < 0.7 else ()
    first = Act("send", documents=rng.choice((documents, max(1, documents // 2))))
    resends = Act("send", reconcile=True, resend_absent=True)
    since = replace(rng.choice((Act("send"), resends)), deadline=rng.choice((120.0, 600.0, 600.0)))
    last = rng.choice((Act("send"), resends))
    faults = rng.choice(((), _LATE, ("silence_before", *_LATE), ("silence_before", *_LATE)))
    acts = (first, Act("copy"), *wait, since, Act("restore"), last)
    return _with(drawn, documents, acts, faults=faults, odds=0.6, unnumbered=0, batch=1 if documents < 8 else rng.choice((1, 2)))


@_family
def put_back_twice(rng: random.Random, drawn: Scenario) -> Scenario:
    """The same copy of the journal is put back again, after the service was sent more meanwhile."""
    parts = sorted(rng.randrange(3, 9) for _ in range(3))
    documents = max(parts[2], rng.choice((8, 12)))
    one, two, three = (Act("send", documents=part) for part in parts)
    waits = rng.choice(((Act("wait", jump=4000.0),), (Act("wait", jump=4000.0),), ()))
    since = (Act("send", deadline=rng.choice((600.0, 600.0, 120.0))),) if rng.random() < 0.8 else ()
    acts = (one, Act("copy"), two, Act("restore"), three, *waits, *since, Act("restore"), Act("send"))
    faults = rng.choice((_LATE, _LATE, _LATE[:1]))
    return _with(drawn, documents, acts, faults=faults, odds=0.6, unnumbered=0, batch=rng.choice((1, 1, 2)))


@_family
def kept_numbers(rng: random.Random, drawn: Scenario) -> Scenario:
    """Another run has some of the documents of one that was pruned."""
    documents, half = rng.choice((8, 12, 24)), rng.choice((3, 5, 6))
    first = Act("send", documents=rng.choice((half, documents)), order=rng.choice((0, rng.randrange(1, 1000))))
    # The other run knows only what was kept: not the order, the batches or the spelling.
    again = Act("send", run_id=OTHER_RUN, order=rng.choice((0, 1, rng.randrange(1, 1000))), respelled=rng.random() < 0.2)
    more = (Act("send", documents=documents, run_id=RUN, order=rng.choice((0, 1))),) if rng.random() < 0.2 else ()
    acts, faults = (first, Act("prune"), again, *more), drawn.faults[: rng.choice((0, 0, 1))]
    return _with(drawn, documents, acts, faults=faults, unnumbered=0, batch=rng.choice((1, 2, 3, 5)))


# --- who is stopped ---------------------------------------------------------------------------------------------------------


@_family
def stopped_and_killed(rng: random.Random, drawn: Scenario) -> Scenario:
    """A process stands still while batches wait for their turn, and is killed soon after."""
    first = Act(
        "send",
        freeze_at=_turn(rng, 40, 10),
        freeze_for=rng.choice((50.0, 50.0, 200.0, 1000.0)),
        kill_at=_turn(rng, 60, 40) if rng.random() < 0.6 else None,
        power_cut=rng.random() < 0.2,
        given_as=rng.choice(("list", "async")),
    )
    acts = (first, Act("send", order=rng.choice((0, 0, 1))))
    faults = _some(rng, "slow_answer", "silence_after", "proved_refusal")
    return _with(drawn, 12, acts, faults=faults, odds=rng.choice((0.3, 0.5)), batch=1, concurrency=rng.choice((1, 2)))


@_family
def split_and_killed(rng: random.Random, drawn: Scenario) -> Scenario:
    """A process is killed, or cancelled at a commit, while a batch that was refused is sent in parts."""
    first = Act("send", bisect=rng.choice(("safe", "all")))
    if rng.random() < 0.3:
        first = replace(first, cancel_on_commit=rng.randrange(3, 30), cancel_before=rng.random() < 0.5)
    else:
        first = replace(first, kill_at=_turn(rng, 60, 20), power_cut=rng.random() < 0.2)
    faults = ("bad_data", *rng.sample(("slow_answer", "record_fails", "silence_after"), rng.choice((0, 0, 1))))
    return _with(drawn, 12, (first, Act("send")), faults=faults, odds=rng.choice((0.3, 0.5)), batch=rng.choice((3, 4, 6)))


@_family
def letters(rng: random.Random, drawn: Scenario) -> Scenario:
    """Dead letters that are written twice, or replayed though the journal that they came from is gone."""
    first = Act("send", dead_letter=True, results=rng.choice(("wait", "wait", "accepted")))
    if rng.random() < 0.3:
        acts: tuple[Act, ...] = (first, replace(first, order=rng.choice((0, 1))))
    else:
        is_lost = rng.random() < 0.6
        first = replace(first, takes_away="both", at=rng.choice((0.5, 1.0, 5.0))) if is_lost else first
        other = replace(first, run_id=rng.choice((RUN, OTHER_RUN)), takes_away=None, kill_at=rng.choice((None, _turn(rng, 60, 20))))
        cancel_at = _turn(rng, 60, 10) if rng.random() < 0.4 else None
        replay = Act("replay", resend_absent=rng.random() < 0.5)
        acts = (first, *((other,) if rng.random() < 0.6 else ()), replace(replay, cancel_at=cancel_at), replay)
    documents, more = 12, rng.choice(("bad_data", "bad_data", "proved_refusal", "status_after", "slow_processing"))
    settings = {"odds": rng.choice((0.4, 0.5)), "unnumbered": rng.choice((0, 4, documents)), "batch": 2}
    return _with(drawn, documents, acts, faults=("record_fails", more), **settings)


@_family
def cancelled_anywhere(rng: random.Random, drawn: Scenario) -> Scenario:
    """A run is cancelled while it begins, while it sends, or while its program leaves it; at a turn or at a commit."""
    first = Act("send", given_as=rng.choice(("list", "async")), cancel_again=rng.choice((None, 1, 2, 3)))
    if rng.random() < 0.5:
        first = replace(first, cancel_on_commit=rng.randrange(1, 20), cancel_before=rng.random() < 0.5)
    else:
        first = replace(first, cancel_at=rng.choice((rng.randrange(1, 30), _turn(rng, 60, 10))))
    if rng.random() < 0.4:
        first = replace(first, streamed=True, leaves=rng.choice((None, 1, 2)))
    faults = rng.choice((("cached_answer",), ("slow_answer",), ("cached_answer", "slow_answer"), ()))
    acts, odds = (first, Act("send", order=rng.choice((0, 1)))), rng.choice((0.3, 0.5))
    return _with(drawn, rng.choice((4, 8, 12)), acts, faults=faults, odds=odds, batch=rng.choice((1, 2)))


@_family
def equal_ones_fail(rng: random.Random, drawn: Scenario) -> Scenario:
    """Of equal documents without a number some fail, and their lines are replayed."""
    replays = tuple(Act("replay") for _ in range(rng.choice((1, 2))))
    batch, odds = rng.choice((1, 2, 3)), rng.choice((0.3, 0.5))
    return _with(drawn, 12, (Act("send", dead_letter=True), *replays), faults=("record_fails",), odds=odds, unnumbered=12, batch=batch)


@_family
def looked_up_in_two_goes(rng: random.Random, drawn: Scenario) -> Scenario:
    """Of a batch one document is found, and the look-up of another one is not answered; later it is not there yet, or has failed."""
    acts = (Act("send"), *(Act("reconcile", resend_absent=True) for _ in range(2)))
    faults = ("silence_after", "look_up_fails", rng.choice(("record_fails", "record_fails", "look_up_lags")))
    return _with(drawn, rng.choice((8, 12)), acts, faults=faults, odds=rng.choice((0.3, 0.5)), unnumbered=0, batch=rng.choice((2, 3)))


@_family
def shared_results(rng: random.Random, drawn: Scenario) -> Scenario:
    """Two batches have one batchUuid, and their result comes after both know it."""
    act, odds = Act("send", deadline=rng.choice((20.0, 120.0))), rng.choice((0.3, 0.5))
    faults = ("repeated_uuid", "slow_processing", "swapped_result", "record_fails")
    acts = (act, *(act for _ in range(rng.choice((0, 1)))))
    return _with(drawn, 12, acts, faults=faults, odds=odds, unnumbered=rng.choice((0, 12)), batch=rng.choice((1, 2, 3)))


@_family
def results_twice(rng: random.Random, drawn: Scenario) -> Scenario:
    """A result says little, and another attempt of the run reads it again."""
    acts = tuple(Act("send") for _ in range(rng.choice((2, 3))))
    return _with(drawn, 12, acts, faults=("other_result", "record_fails"), odds=rng.choice((0.3, 0.5)), batch=rng.choice((2, 3)))
