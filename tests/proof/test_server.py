"""The server of the proof can be believed: what it says was taken is in a file that outlives it, and it counts rightly."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..support.ledger import Ledger, content_hash, parse, read_lines, split_records, times_taken
from ..support.wire_faults import WIRE_FAULTS
from .accounts import account_from, check, check_once, make_client, quick
from .control import Tenant, TenantServer
from .kill_points import POINTS, find


def records(count: int) -> list[dict[str, object]]:
    return [{"documentType": "IN", "customerNo": "1", "documentNo": f"D{number}"} for number in range(count)]


async def send(tenant: Tenant, count: int) -> None:
    async with make_client(tenant) as arm:
        await arm.documents.create_many(records(count), options=quick())


async def test_what_was_taken_outlives_the_server(tmp_path: Path) -> None:
    server = TenantServer(tmp_path / "ledger.jsonl")
    try:
        tenant = server.tenant()
        await send(tenant, 12)
        server.kill()
        assert times_taken(read_lines(server.ledger)).total() == 12
        server.start()
        assert len(tenant.truth().lines) == 12
        await send(tenant, 1)
        assert max(times_taken(tenant.truth().lines).values()) == 2
        with pytest.raises(AssertionError, match="TAKEN TWICE"):
            check_once(records(12), tenant.truth())
    finally:
        server.stop()


def test_a_line_that_was_torn_was_told_to_nobody(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger")
    ledger.take(1, "b", "documents", "", ['{"documentNo":"D1"}', '{"documentNo":"D2"}'])
    ledger.close()
    data = (tmp_path / "ledger").read_bytes()
    (tmp_path / "ledger").write_bytes(data[:-5])
    assert [line.key for line in read_lines(tmp_path / "ledger")] == ["D1"]


def test_what_is_the_same_content() -> None:
    one = parse('{"a": 10.50, "b": [{"y": 1, "x": "\\u00f8"}], "c": 0}')
    assert content_hash(one) == content_hash(parse('{"c":-0.0,"b":[{"x":"ø","y":1.0}],"a":1.05e1}'))
    others = ['{"a":10.51}', '{"a":"10.50"}', '{"a":true}', '{"a":1}', '{"a":null}', "{}", '{"a":10.5000000000000000000000001}']
    assert len({content_hash(parse(text)) for text in ['{"a":10.50}', *others]}) == 8


def test_records_come_out_of_a_body_as_they_went_in() -> None:
    texts = ['{"documentNo":"1","x":"]}, {"}', '{ "documentNo" : 2.50 }']
    body = f'{{"metadata":{{"userId":"u"}},"documents":[{texts[0]}, {texts[1]}]}}'.encode()
    assert split_records("documents", body) == texts


@pytest.mark.parametrize(
    ("counts", "failures", "states"),
    [
        ({"succeeded": 2}, [], ["success", "success"]),
        ({"succeeded": 1, "unknown": 1}, [[1, None, "unknown", ""]], ["success", "unknown"]),
        ({"succeeded": 1, "unknown": 1}, [], None),
        ({"succeeded": 2, "unknown": 1}, [[1, None, "unknown", ""]], None),
        ({"succeeded": 0, "unknown": 2}, [[1, None, "unknown", ""], [1, None, "unknown", ""]], None),
        ({"succeeded": 1, "unknown": 1}, [[1, None, "not_sent", ""]], None),
    ],
)
def test_an_account_that_does_not_add_up_is_refused(counts: dict[str, int], failures: list[list[object]], states: list[str] | None) -> None:
    if states is None:
        with pytest.raises(AssertionError):
            account_from(counts, failures, 2)
    else:
        assert account_from(counts, failures, 2).states == states


@pytest.mark.parametrize("state", ["succeeded", "accepted", "failed", "not_sent", "rejected"])
async def test_an_account_that_is_not_true_is_refused(tenant: Tenant, state: str) -> None:
    """What was taken is called untaken, or what was not is called done."""
    taken = state in {"not_sent", "rejected"}
    if taken:
        await send(tenant, 1)
    names = [[0, "D0", state, ""]] if state != "succeeded" else []
    with pytest.raises(AssertionError, match="nobody took it" if state in {"accepted", "failed"} else "called"):
        check("documents", records(1), account_from({state: 1}, names, 1), tenant.truth())


def test_the_kinds_of_fault() -> None:
    assert len(WIRE_FAULTS) > 90
    assert all(fault.says for fault in WIRE_FAULTS.values())


def test_every_point_at_which_a_process_is_killed_is_in_the_library() -> None:
    for name, point in POINTS.items():
        owner, function = find(point)
        assert callable(getattr(owner, function)), name
