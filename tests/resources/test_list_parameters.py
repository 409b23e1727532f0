"""The lists: every query parameter of the pages, and what is refused before anything is sent."""

from __future__ import annotations

import inspect
import re

import pytest

from amili_arm_async import ConfigurationError, TruncatedListError

pytestmark = pytest.mark.quick

ANY = re.compile(".*")
NEXT = "https://evil.example/clients/9/secrets?query=8NlwdOIM1YLVFApvQFONTw&pageno=2"

PARAMETERS = {
    "customer_no": ("customerno", "543210"),
    "account_no": ("accountno", 500002),
    "organization_no": ("organizationno", "984842252"),
    "name": ("name", "Ærlig & Sønn"),
    "customer_category": ("customercategory", "CONS"),
    "expand": ("expand", "all"),
    "options": ("options", "x"),
    "maximum_count": ("maximumcount", 10_000),
    "query": ("query", "8NlwdOIM1YLVFApvQFONTw"),
    "page_no": ("pageno", 2),
    "page_size": ("pagesize", 1000),
    "user_id": ("userid", "TestUser"),
}
"""Every query parameter of the customer list's page, by its name in this library."""

EMPTY = {"summary": {"pageNo": 1, "totalPages": 0, "totalCount": 0}, "customers": [], "documents": []}


@pytest.mark.parametrize("name", PARAMETERS)
async def test_each_query_parameter_of_the_page_is_a_keyword(name, wire, arm) -> None:
    wire.get(ANY, payload=EMPTY)
    on_the_wire, value = PARAMETERS[name]
    await arm.customers.list(**{name: value}).collect()
    assert wire.call.query == {on_the_wire: str(value)}


async def test_all_query_parameters_at_once(wire, arm) -> None:
    wire.get(ANY, payload=EMPTY)
    await arm.customers.list(**{name: value for name, (_, value) in PARAMETERS.items()}).collect()
    assert wire.call.query == {on_the_wire: str(value) for on_the_wire, value in PARAMETERS.values()}


async def test_further_criteria_go_as_they_are_named(wire, arm) -> None:
    wire.get(ANY, payload=EMPTY)
    await arm.customers.list(name="x", parameters={"city": "Oslo", "organizationno": "984842252", "userid": "Ola"}).collect()
    assert wire.call.query == {"name": "x", "city": "Oslo", "organizationno": "984842252", "userid": "Ola"}


@pytest.mark.parametrize("listed", ["customers", "documents", "ar_items"])
def test_what_has_an_argument_is_refused_among_the_parameters(arm, listed) -> None:
    """It would be checked by nobody, or silently not be sent."""
    with pytest.raises(ConfigurationError, match="parameters holds 'pagesize'"):
        getattr(arm, listed).list(parameters={"pagesize": 2})


def test_no_criterion_is_given_twice(arm) -> None:
    with pytest.raises(ConfigurationError, match="parameters holds 'name'"):
        arm.customers.list(name="x", parameters={"name": "y"})


def test_the_list_has_no_criteria_but_those_of_the_page(arm) -> None:
    others = {"parameters", "language", "allow_truncated", "timeout", "retry"}
    assert set(inspect.signature(arm.customers.list).parameters) == {*PARAMETERS, *others}


async def test_further_pages_are_asked_for_by_query_and_number_on_our_own_origin(wire, arm) -> None:
    wire.get(ANY, payload={"summary": {"pageNo": 1, "totalPages": 2, "nextPage": NEXT}, "customers": [{"customerNo": "1"}]})
    wire.get(ANY, payload={"summary": {"pageNo": 2, "totalPages": 2}, "customers": [{"customerNo": "2"}]})
    records = [record.customer_no async for record in arm.customers.list(name="x", page_size=5, user_id="Ola", language="no")]
    assert records == ["1", "2"]
    first, second = wire.calls
    assert (first.path, first.query) == ("/clients/2218/customers", {"name": "x", "pagesize": "5", "userid": "Ola"})
    assert (second.path, second.query) == ("/clients/2218/customers", {"query": "8NlwdOIM1YLVFApvQFONTw", "pageno": "2"})
    assert first.headers == second.headers == {"Authorization": "Bearer the-token", "Accept": "application/json", "Accept-Language": "no"}


async def test_documents_take_criteria_by_the_apis_own_names(wire, arm) -> None:
    wire.get(ANY, payload=EMPTY)
    await arm.documents.list(parameters={"customerno": "7", "open": True}, page_size=5, maximum_count=10, page_no=3, query="8Nl").collect()
    assert wire.call.query == {"customerno": "7", "open": "true", "pagesize": "5", "maximumcount": "10", "pageno": "3", "query": "8Nl"}


@pytest.mark.parametrize("room", ["customers", "documents"])
@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ({"page_size": 4}, "10 for anything below 5"),
        ({"page_size": 0}, "10 for anything below 5"),
        ({"page_size": 1001}, "caps at 1000"),
        ({"page_size": "100"}, "page_size must be an integer"),
        ({"maximum_count": 0}, "maximum_count"),
        ({"maximum_count": 10_001}, "10,000 is the upper limit"),
        ({"page_no": 0}, "page_no"),
    ],
)
async def test_what_the_api_would_change_in_silence_is_refused_before_sending(room, setting, reason, wire, arm) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        getattr(arm, room).list(**setting)
    assert wire.calls == []


@pytest.mark.parametrize("size", [5, 1000])
async def test_the_ends_of_the_range_are_taken(size, wire, arm) -> None:
    wire.get(ANY, payload=EMPTY)
    await arm.customers.list(page_size=size).collect()
    assert wire.call.query == {"pagesize": str(size)}


@pytest.mark.parametrize("setting", [{"maximum_count": 10_000}, {"allow_truncated": True}])
async def test_a_list_at_its_cap_is_an_error_unless_that_was_asked_for(setting, wire, arm) -> None:
    wire.get(ANY, payload={"summary": {"totalCount": 10_000, "maximumCount": 10_000}, "customers": [{"customerNo": "1"}]}, repeat=True)
    assert len(await arm.customers.list(**setting).collect()) == 1
    with pytest.raises(TruncatedListError):
        await arm.customers.list().collect()


async def test_a_page_of_the_samples_is_read_whole(wire, arm, sample) -> None:
    wire.get(ANY, body=sample("customers_list.response"))
    page = await arm.customers.list().first()
    assert (page.summary.total_pages, [record.name for record in page.items]) == (14, ["Owe Armstrong", "Bill Lossius"])
