"""When something happened, by clocks that don't fail together; and what time it is there, by the `Date` of answers."""

from __future__ import annotations

import os
import subprocess
import sys
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amili_arm_async import clock
from amili_arm_async.clock import ServiceClock, Stamp

pytestmark = pytest.mark.quick

SENT = Stamp(1000.0, 50.0, "a", 5000.0)


@pytest.mark.parametrize(
    ("now", "seconds"),
    [
        (Stamp(1010.0, 60.0, "a", 5010.0), 10.0),
        (Stamp(4610.0, 60.0, "a", 5010.0), 10.0),
        (Stamp(1010.0, 60.0, "a", 8610.0), 10.0),
        (Stamp(4610.0, 20.0, "b", 5010.0), 10.0),
        (Stamp(4610.0, 60.0, "a", None), 10.0),
        (Stamp(4610.0, 3660.0, "a", 5010.0), 10.0),
        (Stamp(900.0, 60.0, "a", 5010.0), 0.0),
        (Stamp(1010.0, 60.0, "a", 4000.0), 0.0),
        (Stamp(1010.0, 60.0, "b", None), None),
        (Stamp(1010.0, 60.0, None, None), None),
        (Stamp(1010.0, None, "a", None), None),
    ],
)
def test_the_clock_that_says_least_counts_and_one_alone_says_nothing(now: Stamp, seconds: float | None) -> None:
    assert SENT.passed(now) == seconds


@pytest.mark.parametrize(
    ("now", "seconds"),
    [
        (Stamp(1010.0, 60.0, "a", 5010.0), 10.0),
        (Stamp(1031.0, 60.0, "a"), 31.0),
        (Stamp(1010.0, 81.0, "a"), 31.0),
        (Stamp(900.0, 81.0, "a"), 31.0),
        (Stamp(1010.0, 81.0, "b"), 10.0),
    ],
)
def test_a_suspended_process_trusts_the_clock_that_says_most(now: Stamp, seconds: float) -> None:
    assert SENT.at_most(now) == seconds


def test_a_boot_clock_without_a_name_says_nothing() -> None:
    assert Stamp(0.0, 5.0, None).passed(Stamp(100.0, 105.0, None)) is None


def test_the_boot_clock_goes_on_and_keeps_its_name_in_another_process() -> None:
    before = clock.stamp()
    program = "from amili_arm_async import clock; print(clock.boot_time()); print(clock.boot_id())"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()
    after = clock.stamp()
    assert said[1] == str(before.boot_id) == str(after.boot_id)
    if before.boot is not None and after.boot is not None:
        assert before.boot <= float(said[0]) <= after.boot
    assert os.name != "posix" or before.boot is not None


OFFSETS = st.lists(st.tuples(st.floats(0, 3), st.floats(0, 3)), min_size=1, max_size=8)


@given(delays=OFFSETS, ahead=st.integers(-10_000, 10_000))
def test_the_time_of_the_service_lies_between_the_bounds(delays: list[tuple[float, float]], ahead: int) -> None:
    service, now = ServiceClock(), 1_000_000.0
    for before, after in delays:
        asked = now
        written = asked + before
        now = written + after
        service.note(formatdate(written + ahead, usegmt=True), asked, now)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock, "steady_time", lambda: now + 5)
        earliest, latest = service.earliest(), service.latest()
    assert earliest is not None
    assert latest is not None
    assert earliest <= now + 5 + ahead <= latest


def test_a_date_that_stands_still_moves_the_bounds_apart_and_never_together() -> None:
    service = ServiceClock()
    date = formatdate(1_000_000, usegmt=True)
    widths = []
    for passed in range(0, 100, 10):
        service.note(date, 500.0 + passed, 500.5 + passed)
        earliest, latest = service.earliest(), service.latest()
        assert earliest is not None
        assert latest is not None
        widths.append(latest - earliest)
    assert widths == sorted(widths)
    assert widths[-1] >= 90


@pytest.mark.parametrize("date", [None, "", "now", "Thu, 99 Foo 2026", "-1", "Thu, 01 Jan 99999 00:00:00 GMT"])
def test_a_date_that_is_none_says_nothing(date: str | None) -> None:
    service = ServiceClock()
    service.note(date, 1.0, 2.0)
    assert not service.is_known
    assert service.earliest() is None
    assert service.latest() is None
