"""A sandbox and a client that waits for nothing longer than it must, and a state in a folder of its own."""

import pytest

from ..support.postgres import place_of_test
from ..support.sandbox_fixtures import arm, quick, sandbox

__all__ = ["arm", "quick", "sandbox"]


@pytest.fixture
def state(tmp_path, request):
    """Where the state is. `AMILI_ARM_TEST_JOURNAL=postgresql` does all tests whose state need not be a file over PostgreSQL."""
    return place_of_test(request, tmp_path / "customers.sqlite")


@pytest.fixture
def sync(arm, state):
    """Begins a sync of these records."""

    def begin(source, *, full=False, state=state, arm=arm, **options):
        return arm.customers.sync(source, state=state, full=full, options=quick(**options))

    return begin


def numbers(report):
    """What a report tells, as (new, changed, unchanged, without_key, failed), which add up to what was read."""
    found = (report.new, report.changed, report.unchanged, report.without_key, report.failed)
    assert sum(found) == report.bulk.totals.records_read == sum(report.bulk.counts.values())
    return found
