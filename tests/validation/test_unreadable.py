"""A file that can't be read to its end is an error of the check."""

from __future__ import annotations

import io

import pytest

from amili_arm_async import CheckError, SourceError, open_records

pytestmark = pytest.mark.quick


async def test_why_a_file_can_not_be_read_is_an_error_and_in_the_message(arm):
    with pytest.raises(CheckError, match="naem") as caught:
        await arm.customers.check(open_records(io.BytesIO(b"customerNo;naem\n1;A\n"), "customers", format="csv"))
    report = caught.value.report
    assert isinstance(caught.value.__cause__, SourceError)
    assert (report.errors, report.counts, report.ok, report.complete) == (1, {"source_error": 1}, False, False)
    (fault,) = report.faults
    assert (fault.index, fault.key, fault.severity) == (0, None, "error")
    assert "naem" in fault.message
    with pytest.raises(CheckError, match="1 error in 0 records"):
        report.raise_for_faults()


@pytest.mark.parametrize("limit", [0, 1])
async def test_it_is_kept_whatever_the_limit(arm, limit):
    with pytest.raises(CheckError, match="naem") as caught:
        await arm.customers.check(open_records(io.BytesIO(b"customerNo;naem\n1;A\n"), "customers", format="csv"), max_findings=limit)
    assert (caught.value.report.errors, len(caught.value.report.faults)) == (1, 1)
