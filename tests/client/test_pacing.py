"""`Limits(requests_per_second=)`: every request to the API has its turn, evenly; by a clock that only goes on when somebody sleeps."""

from __future__ import annotations

import asyncio
import heapq
from itertools import pairwise
from typing import Any

import pytest

from amili_arm_async import ArmClient, BulkOptions, ClientCredentials, Limits, RetryPolicy, clock
from amili_arm_async.connections import Connections
from amili_arm_async.pacing import Pace

from ..support.http_server import HttpServer, Request, reply


class Time:
    """A clock that stands still while anybody has something to do, and goes on to the first who wants to be woken."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self.sleepers, (self.now + max(0.0, seconds), id(woken), woken))
        asyncio.get_running_loop().call_soon(self.go_on)
        await woken

    def go_on(self) -> None:
        if self.sleepers:
            at, _, woken = heapq.heappop(self.sleepers)
            if not woken.done():
                self.now = max(self.now, at)
                woken.set_result(None)
            else:
                self.go_on()


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    made = Time()
    monkeypatch.setattr(clock, "monotonic", made.monotonic)
    monkeypatch.setattr(clock, "sleep", made.sleep)
    return made


async def note(pace: Pace, time: Time, turns: list[tuple[str, float]], name: str) -> None:
    await pace.turn()
    turns.append((name, round(time.now - 1000, 6)))


async def test_turns_come_evenly_and_in_their_order(time: Time) -> None:
    pace, turns = Pace(4), list[tuple[str, float]]()
    await asyncio.gather(*(note(pace, time, turns, name) for name in "abcd"))
    assert turns == [("a", 0), ("b", 0.25), ("c", 0.5), ("d", 0.75)]


async def test_a_turn_that_came_late_does_not_move_the_others(time: Time) -> None:
    """The timers of a loop are late by a little each time; at many requests a second that would add up."""
    pace, turns = Pace(4), list[tuple[str, float]]()
    await note(pace, time, turns, "a")
    time.now += 0.27
    await asyncio.gather(*(note(pace, time, turns, name) for name in "bc"))
    assert turns == [("a", 0), ("b", 0.27), ("c", 0.5)]


async def test_a_rest_saves_nothing_up(time: Time) -> None:
    pace, turns = Pace(2), list[tuple[str, float]]()
    await note(pace, time, turns, "a")
    time.now += 60
    await asyncio.gather(*(note(pace, time, turns, name) for name in "bcd"))
    assert [at for _, at in turns] == [0, 60, 60.5, 61]


async def test_who_is_cancelled_while_waiting_takes_no_turn(time: Time) -> None:
    pace, turns = Pace(1), list[tuple[str, float]]()
    await note(pace, time, turns, "a")
    asleep, behind = (asyncio.ensure_future(note(pace, time, turns, name)) for name in "bc")
    many = [asyncio.ensure_future(note(pace, time, turns, "x")) for _ in range(500)]
    await asyncio.sleep(0)
    for task in (asleep, *many):
        task.cancel()
    await asyncio.wait([behind])
    await note(pace, time, turns, "d")
    assert [name for name, _ in turns] == ["a", "c", "d"]
    assert turns[-1][1] <= 3, "of 500 who were cancelled, nobody is waited for"


# --- a client -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def sent(time: Time, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When each request to the API was sent."""
    times: list[float] = []
    send = Connections.send

    async def noted(self: Connections, request: Any, *given: Any, **named: Any) -> Any:
        if request.base is None:
            times.append(time.now)
        return await send(self, request, *given, **named)

    monkeypatch.setattr(Connections, "send", noted)
    return times


def are_even(times: list[float], interval: float) -> bool:
    return all(later - sooner > interval - 0.001 for sooner, later in pairwise(times))


class Service:
    """Answers with these statuses, then with success."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.tokens = 0
        self.batches = 0

    async def __call__(self, request: Request) -> bool:
        await request.body()
        if "token" in request.path:
            self.tokens += 1
            request.send(reply(200, {"access_token": f"token-{self.tokens}"}))
            return True
        status = self.statuses.pop(0) if self.statuses else 200
        self.batches += 1
        body = {"batchUuid": f"uuid-{self.batches}"} if request.method == "POST" else {"status": "PROCESSED", "result": "SUCCESS"}
        request.send(reply(202 if request.method == "POST" and status == 200 else status, body))
        return True


async def test_all_requests_of_a_client_have_one_pace(sent: list[float]) -> None:
    """Views, refused tokens and retries included; calls for a token are not counted."""
    service = Service(200, 401, 503)
    async with HttpServer(service) as api:
        auth = ClientCredentials(client_id="id", client_secret="hidden", identity_url=api.origin)
        limits, retry = Limits(requests_per_second=2), RetryPolicy(base_delay=0.001)
        async with ArmClient(1, auth=auth, base_url=api.base_url, limits=limits, retry=retry) as arm:
            view = arm.for_client(2)
            await asyncio.gather(*(one.request("GET", "codes") for one in (arm, view, arm, view, arm)))
    assert service.tokens == 2
    assert len(sent) == 7
    assert are_even(sent, 0.5)


async def test_a_bulk_run_keeps_the_pace(sent: list[float]) -> None:
    service = Service()
    async with (
        HttpServer(service) as api,
        ArmClient(1, auth="token", base_url=api.base_url, limits=Limits(requests_per_second=10)) as arm,
    ):
        records = [{"customerNo": str(number)} for number in range(40)]
        report = await arm.customers.create_many(records, options=BulkOptions(max_records=1, results="accepted"))
    assert report.counts["accepted"] == 40
    assert are_even(sent, 0.1)
