"""An address is the same however it is spelled: a run against it goes on, and its documents are known to the other runs."""

from __future__ import annotations

import pytest

from amili_arm_async import ArmClient
from amili_arm_async.config import check_origin

from ..support.sandbox_runs import QUICK, invoices, send

pytestmark = pytest.mark.quick

SPELLINGS = [
    ("https://api.example.no/arm/v1", "HTTPS://API.Example.NO:443/arm/v1/"),
    ("https://api.example.no", "https://api.example.no:443"),
    ("http://localhost", "http://LOCALHOST:80/"),
    ("http://[::1]:8080", "HTTP://[::1]:8080/"),
    ("https://xn--bcher-kva.example/v1", "https://BÜCHER.example/v1"),
]


@pytest.mark.parametrize(("one", "other"), SPELLINGS)
def test_it_has_one_spelling(one, other):
    assert check_origin("base_url", other) == check_origin("base_url", one) == one


@pytest.mark.parametrize("other", ["https://api.example.no/ARM/v1", "https://api.example.no:8443/arm/v1", "https://api2.example.no/arm/v1"])
def test_another_path_port_or_host_is_another_address(other):
    assert check_origin("base_url", other) != "https://api.example.no/arm/v1"


async def test_nothing_is_sent_again_under_another_spelling(sandbox, arm, tmp_path):
    journal, source = tmp_path / "nightly.sqlite", invoices(20)
    await send(arm, source, journal=journal, run_id="one")
    taken = sandbox.documents.total_taken
    spelled = sandbox.base_url.replace("http", "HTTP", 1)
    async with ArmClient(2218, auth=sandbox.token, base_url=spelled, retry=QUICK) as same:
        again = await send(same, source, journal=journal, run_id="one")
        other = await send(same, source, journal=journal, run_id="two")
    assert again.counts == {"done_before": 20}
    assert other.reasons == {"invalid/sent_in_run": 20}
    assert sandbox.documents.total_taken == taken
