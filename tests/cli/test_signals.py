"""SIGINT and SIGTERM at the moments that no test with a process can hit for sure: before the work begins and after it has ended."""

from __future__ import annotations

import asyncio
import signal

import pytest

from amili_arm_async.cli.signals import SignalHandler
from amili_arm_async.errors import InterruptedRunError

NUMBERS = [signal.SIGINT, signal.SIGTERM]


@pytest.fixture
def told():
    """The signals that the handler got that was there before."""
    numbers = []
    before = {number: signal.signal(number, lambda number, frame: numbers.append(number)) for number in NUMBERS}
    yield numbers
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", NUMBERS)
def test_before_the_work_it_goes_to_the_handler_that_was_there_before(told, number):
    with SignalHandler() as signals:
        signal.raise_signal(number)
        assert (told, signals.code) == ([number], 0)
        signals.run(asyncio.sleep(0))
    assert signals.code == 0


@pytest.mark.parametrize("number", NUMBERS)
def test_as_soon_as_its_handler_is_set_it_goes_there_too(told, monkeypatch, number):
    set_handler = signal.signal

    def set_and_raise(of, handler):
        before = set_handler(of, handler)
        if of == number and not told:
            signal.raise_signal(number)
        return before

    monkeypatch.setattr(signal, "signal", set_and_raise)
    with SignalHandler() as signals:
        assert (told, signals.code) == ([number], 0)


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("durable", [False, True])
def test_while_the_loop_is_made_it_cancels_the_work(told, monkeypatch, number, durable):
    make, went = asyncio.events.new_event_loop, []

    def made_slowly():
        signal.raise_signal(number)
        return make()

    async def work():
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            went.append("gracefully")
            raise

    monkeypatch.setattr(asyncio.events, "new_event_loop", made_slowly)
    with SignalHandler(durable=durable) as signals, pytest.raises(InterruptedRunError):
        signals.run(work())
    assert (went, signals.code, told) == (["gracefully"], 128 + number, [])


@pytest.mark.parametrize("number", NUMBERS)
def test_after_the_work_it_goes_to_the_handler_that_was_there_before(told, number):
    with SignalHandler() as signals:
        signals.run(asyncio.sleep(0))
        signal.raise_signal(number)
    assert (told, signals.code) == ([number], 0)


@pytest.mark.parametrize("number", NUMBERS)
def test_while_the_loop_is_closed_the_work_is_done(told, monkeypatch, number):
    close = asyncio.BaseEventLoop.shutdown_asyncgens

    async def closed_slowly(loop):
        signal.raise_signal(number)
        await close(loop)

    monkeypatch.setattr(asyncio.BaseEventLoop, "shutdown_asyncgens", closed_slowly)
    with SignalHandler() as signals:
        signals.run(asyncio.sleep(0))
    assert (told, signals.code) == ([], 0)
