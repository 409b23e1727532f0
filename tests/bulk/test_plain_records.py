"""Records and values of other libraries: what is sure is converted, what is not is refused with its path."""

from __future__ import annotations

import dataclasses
import enum
import json
import uuid
from collections import OrderedDict
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any, NamedTuple

import attrs
import msgspec
import numpy as np
import pandas as pd
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic.alias_generators import to_camel

from amili_arm_async import ArmClient, BulkOptions, ConfigurationError, Customer, Document, RecordError
from amili_arm_async.bulk.canonical import as_key
from amili_arm_async.bulk.field_names import right_name
from amili_arm_async.bulk.plain_records import all_have_plain_values, encode_record, has_plain_values, plain_record
from amili_arm_async.models.documents import DocumentLine
from amili_arm_async.resources.bulk import CUSTOMERS
from amili_arm_async.sandbox import Sandbox

from ..support.sandbox_fixtures import QUICK


class Category(enum.Enum):
    CONSUMER = "CONS"


class Text(str):
    __slots__ = ()


@dataclasses.dataclass
class Address:
    address_line1: str | None = None
    postal_code: str | None = None


@dataclasses.dataclass
class Person:
    customer_no: str
    name: str | None = None
    postal_address: Address | None = None


@attrs.define
class AttrsPerson:
    customer_no: str
    name: str | None = None


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(alias_generator=to_camel, populate_by_name=True)
    customer_no: str
    name: str | None = None
    date_of_birth: date | None = None


class SnakeModel(pydantic.BaseModel):
    customer_no: str
    postal_address: dict[str, str] | None = None


def sent(record: object, cls: type[Any] = Customer) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(encode_record(record, cls), parse_float=Decimal)
    return read


# --- records ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "record",
    [
        Person("1", "Ola", Address("Gata 1", None)),
        Model.model_construct(customer_no="1", name="Ola", postal_address={"address_line1": "Gata 1"}),
        OrderedDict(customerNo="1", name="Ola", postalAddress=OrderedDict(addressLine1="Gata 1")),
        {"customerNo": "1", "name": "Ola", "postalAddress": Address("Gata 1")},
        Customer(customer_no="1", name=Text("Ola"), postal_address={"addressLine1": "Gata 1"}),
    ],
    ids=["dataclass", "pydantic", "mapping", "a dataclass in a mapping", "a text of another class in a Struct"],
)
def test_a_record_of_any_library_is_sent_by_the_names_of_the_api(record):
    found = sent(record)
    if isinstance(record, Model):
        del found["name"]
        assert found == {"customerNo": "1"}
    else:
        assert found == {"customerNo": "1", "name": "Ola", "postalAddress": {"addressLine1": "Gata 1"}}


def test_attributes_and_aliases_are_names():
    assert sent(AttrsPerson("1", "Ola")) == {"customerNo": "1", "name": "Ola"}
    assert sent(Model(customer_no="1", date_of_birth=date(1980, 1, 2))) == {"customerNo": "1", "dateOfBirth": "1980-01-02"}
    snake = SnakeModel(customer_no="1", postal_address={"postal_code": "0155"})
    assert sent(snake) == {"customerNo": "1", "postalAddress": {"postalCode": "0155"}}


def test_what_is_none_is_left_out_of_a_class_and_not_of_a_mapping():
    assert sent(Person("1")) == {"customerNo": "1"}
    assert sent({"customerNo": "1", "name": None}) == {"customerNo": "1", "name": None}


class Row(NamedTuple):
    customer_no: str


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (pd.Series({"customerNo": 10001.0}), "give the frame itself"),
        (Row("1"), "a Row is no Customer"),
        (Document(document_no="1"), "a Document is no Customer"),
        (5, "a int is no Customer"),
    ],
)
def test_what_is_no_record_is_refused(record, reason):
    with pytest.raises(RecordError, match=reason):
        plain_record(record, Customer)


def test_a_name_that_is_given_twice_is_refused():
    class Twice(pydantic.BaseModel):
        customer_no: str = "1"
        other: str = pydantic.Field("2", alias="customerNo")

    with pytest.raises(RecordError, match=r"^\$\.customerNo: it is given twice"):
        plain_record(Twice(), Customer)


def test_a_mapping_that_holds_itself_is_refused():
    record: dict[str, Any] = {"customerNo": np.int64(1)}
    record["postalAddress"] = record
    with pytest.raises(RecordError, match="nested too deep"):
        plain_record(record, Customer)


# --- values -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "day",
    [
        datetime(2026, 11, 20),  # noqa: DTZ001 - a day
        pd.Timestamp("2026-11-20"),
        np.datetime64("2026-11-20"),
        np.datetime64("2026-11-20T00:00:00.000000000"),
        date(2026, 11, 20),
        "2026-11-20",
        pd.Timestamp("2026-11-20", tz="Europe/Oslo"),
    ],
    ids=repr,
)
def test_what_is_a_day_for_sure_is_a_date(day):
    for record in ({"documentDate": day}, Document(document_date=day)):
        assert sent(record, Document) == {"documentDate": "2026-11-20"}


@pytest.mark.parametrize(
    ("moment", "reason"),
    [
        (datetime(2026, 11, 20, 12, 30), "time of day"),  # noqa: DTZ001 - the fault
        (datetime(2026, 11, 20, tzinfo=UTC), "a moment in UTC"),
        (pd.Timestamp("2026-11-20T23:00", tz="Europe/Oslo"), "a moment"),
        (np.datetime64("2026-11-20T12"), "give|date"),
        (datetime(1, 1, 1), "outside the years"),  # noqa: DTZ001 - the fault
    ],
    ids=repr,
)
def test_what_is_no_day_for_sure_is_refused_with_its_path(moment, reason):
    for record in ({"documentDate": moment}, Document(document_date=moment)):
        with pytest.raises(RecordError, match=rf"^\$\.documentDate: .*{reason}"):
            plain_record(record, Document)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (np.int64(3), 3),
        (np.float64(0.1), Decimal("0.1")),
        (np.float32(0.1), Decimal("0.1")),
        (np.float16(0.5), Decimal("0.5")),
        (Decimal("1.10"), Decimal("1.10")),
    ],
    ids=repr,
)
def test_a_number_of_numpy_is_the_number_that_it_shows(given, wanted):
    record = {"documentLines": [{"price": given}]}
    assert sent(record, Document) == {"documentLines": [{"price": wanted}]}
    assert sent(Document(document_lines=[DocumentLine(price=given)]), Document) == {"documentLines": [{"price": wanted}]}


def test_what_pandas_calls_missing_is_left_out():
    record = {"customerNo": "1", "name": pd.NA, "dateOfBirth": pd.NaT, "yearOfBirth": np.datetime64("NaT", "D")}
    assert sent(record) == {"customerNo": "1"}


def test_other_values():
    record = {"customerNo": Text("1"), "customerCategory": Category.CONSUMER, "isX": np.bool_(True), "list": np.array(["a", "b"], object)}
    assert sent(record) == {"customerNo": "1", "customerCategory": "CONS", "isX": True, "list": ["a", "b"]}
    assert sent({"customerNo": "1", "x": np.array(np.float32(0.1)), "y": np.array("a")}) == {
        "customerNo": "1",
        "x": Decimal("0.1"),
        "y": "a",
    }


@pytest.mark.parametrize("values", [{"c", "a", "b", "aa"}, frozenset({10, 9, -1}), {True, "b", 2, None, Decimal("1.5"), date(2026, 1, 2)}])
def test_a_set_has_one_order_in_each_process_and_in_each_kind_of_record(values):
    # The order of a set changes with what was put into it first.
    orders = [type(values)(order) for order in (values, reversed(list(values)))]
    records = [record for given in orders for record in (Person("1", given), {"customerNo": Text("1"), "name": given})]
    texts = [encode_record(record, Customer, sort=True) for record in records]
    if None not in values:
        # msgspec sorts what is all of one type.
        texts.append(encode_record({"customerNo": "1", "name": values}, Customer, sort=True))
    assert len({str(json.loads(text)["name"]) for text in texts}) == 1


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (np.datetime64("2026-11-20T10:30", "ns"), "2026-11-20T10:30:00"),
        (np.datetime64("2026-11-20T10:30:00.250", "ns"), "2026-11-20T10:30:00.25"),
        (np.datetime64("2026-11-20T10:30", "m"), "2026-11-20T10:30:00"),
        (np.datetime64("2026-11-20"), "2026-11-20"),
        (np.array(5), 5),
        (np.array("2026-11-20", "datetime64[ns]"), "2026-11-20T00:00:00"),
    ],
    ids=repr,
)
def test_a_value_of_numpy_in_a_field_of_no_known_type(given, wanted):
    assert sent({"customerNo": "1", "x": given}) == {"customerNo": "1", "x": wanted}


@pytest.mark.parametrize(
    "value",
    [float("nan"), np.float64("inf"), np.timedelta64(1, "D"), time(1), object(), np.float64(1.0)],
    ids=lambda value: type(value).__name__,
)
def test_what_can_not_be_sure_is_refused_with_its_path(value):
    record = {"customerNo": "1", "name": [value] if isinstance(value, time) else value}
    if isinstance(value, time):
        assert sent(record)["name"] == ["01:00:00"]
        return
    with pytest.raises(RecordError, match=r"^\$\.name"):
        encode_record(record, Customer)


class Code(enum.Enum):
    SEVEN = "7"


class Number(enum.IntEnum):
    SEVEN = 7


class PlainNumber(int, enum.Enum):
    SEVEN = 7


class PlainText(str, enum.Enum):  # noqa: UP042 - one of StrEnum writes itself as it is sent
    SEVEN = " 7 "


class OtherValue(str, enum.Enum):  # noqa: UP042
    """Its value is what is sent, not the text that it is."""

    def __new__(cls, text: str, value: object) -> OtherValue:
        made = str.__new__(cls, text)
        made._value_ = value
        return made

    SEVEN = "shown", 7


class Marked(int):
    def __str__(self) -> str:
        return f"#{int(self)}"

    __repr__ = __str__

    def __format__(self, _: str) -> str:
        return str(self)


class Shouted(str):
    __slots__ = ()

    def __str__(self) -> str:
        return self.upper()

    def strip(self, _: str | None = None) -> str:
        return "stripped"


@dataclasses.dataclass
class Wire:
    customerNo: Any  # noqa: N815 - as in JSON


ANY_KEYS: list[Any] = [
    "7",
    " 7 ",
    Text("7"),
    7,
    Number.SEVEN,
    Code.SEVEN,
    PlainNumber.SEVEN,
    PlainText.SEVEN,
    OtherValue.SEVEN,
    Marked(7),
    Shouted("seven"),
    np.int64(7),
    np.uint8(7),
    np.str_("7"),
    np.array("7"),
    np.datetime64("2026-01-01"),
    date(2026, 1, 1),
    datetime(2026, 1, 1, 5, tzinfo=UTC),
    pd.Timestamp("2026-01-01"),
    time(5),
    uuid.UUID(int=5),
    msgspec.Raw(b'"7"'),
    msgspec.Raw(b"7"),
    Decimal(7),
    True,
    None,
    "",
    [7],
    {"a": 1},
    pd.NaT,
]


@pytest.mark.parametrize("key", ANY_KEYS, ids=lambda key: type(key).__name__)
@pytest.mark.parametrize("of", [lambda key: {"customerNo": key}, Wire, lambda key: OrderedDict(customerNo=key)])
def test_the_key_of_a_record_is_the_one_that_is_sent(key: Any, of: Any) -> None:
    """Whoever asks for it before the record is encoded, such as a night for the customer of a document."""
    sent = encode_record(of(key), Customer)
    assert CUSTOMERS.key_of(of(key)) == as_key(json.loads(sent).get("customerNo"))
    assert as_key(key) == as_key(json.loads(sent).get("customerNo"))


@pytest.mark.parametrize("number", [10001.0, np.float64(10001.0), Decimal("10001.0")], ids=repr)
def test_a_key_that_became_a_number_with_decimals_is_refused(number):
    for record in ({"customerNo": number}, Customer(customer_no=number), Person(number)):
        with pytest.raises(RecordError, match=r"^\$\.customerNo: not a text, but a number with decimals"):
            plain_record(record, Customer)


@pytest.mark.parametrize("number", [b"10001", bytearray(b"10001"), memoryview(b"10001")], ids=lambda number: type(number).__name__)
def test_a_key_of_bytes_is_refused(number):
    for record in ({"customerNo": number}, Customer(customer_no=number), Person(number)):
        with pytest.raises(RecordError, match=r"^\$\.customerNo: bytes, and not a text"):
            plain_record(record, Customer)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates(), st.lists))
def test_values_of_python_are_plain(value):
    assert has_plain_values({"customerNo": "1", "x": value})
    record = {"customerNo": "1", "x": value}
    assert plain_record(record, Customer) is record


@given(
    st.lists(
        st.dictionaries(
            st.text(max_size=3),
            st.recursive(
                st.integers() | st.uuids() | st.none(),
                lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
                max_leaves=6,
            ),
            max_size=3,
        ),
        max_size=4,
    )
)
def test_many_are_plain_only_where_each_is(records):
    if all_have_plain_values(records):
        assert all(map(has_plain_values, records))


def test_what_is_in_itself_or_deep_is_not_plain_for_sure():
    record: dict[str, Any] = {}
    record["x"] = [record] * 1000
    assert not all_have_plain_values([record])
    deep: Any = 1
    for _ in range(50):
        deep = [deep]
    assert not all_have_plain_values([{"x": deep}])
    assert all_have_plain_values([{"x": {"y": [{"z": {"a": 1}}]}}, {}])


# --- through the runs -------------------------------------------------------------------------------------------------------

MIXED: list[Any] = [
    {"documentNo": "1", "documentType": "IN", "customerNo": "1", "documentDate": "2026-11-20"},
    {"documentNo": "2", "documentType": "IN", "customerNo": "1", "documentDate": datetime(2026, 11, 20)},  # noqa: DTZ001 - a day
    {"documentNo": "3", "documentType": "IN", "customerNo": "1", "documentDate": datetime(2026, 11, 20, 5)},  # noqa: DTZ001 - the fault
    {"documentNo": "4", "documentType": "IN", "customerNo": "1", "documentLines": [{"price": np.float32(0.1)}]},
    Document(document_no="5", document_type="IN", customer_no="1", document_date=datetime(2026, 11, 20)),  # noqa: DTZ001 - a day
    Document(document_no="6", document_type="IN", customer_no="1", document_date=datetime(2026, 11, 20, 5)),  # noqa: DTZ001 - the fault
    {"documentNo": 7.0, "documentType": "IN", "customerNo": "1"},
]


@pytest.mark.parametrize("lazily", [False, True])
@pytest.mark.parametrize("alone", [False, True])
async def test_a_run_sends_what_is_sure_and_names_the_others(arm: ArmClient, sandbox: Sandbox, lazily: bool, alone: bool) -> None:
    states: list[str] = []
    for source in [[one] for one in MIXED] if alone else [MIXED]:
        run = arm.documents.create_many((one for one in source) if lazily else source, options=BulkOptions(poll_first=0.01))
        report = await run
        failed = {failure.index: failure for failure in report.failures()}
        states += [failed[place].state if place in failed else "succeeded" for place in range(len(source))]
        assert all(failure.message.startswith("$.document") for failure in failed.values())
    assert states == ["succeeded", "succeeded", "invalid", "succeeded", "succeeded", "invalid", "invalid"]
    stored = [await arm.documents.get(number) for number in ("2", "5")]
    assert [record.document_date for record in stored] == [date(2026, 11, 20)] * 2


async def test_a_sync_of_the_same_in_two_forms_sends_nothing(arm: ArmClient, tmp_path) -> None:
    plain: list[dict[str, Any]] = [
        {"customerNo": str(number), "name": "Ola", "dateOfBirth": "1980-01-02", "yearOfBirth": 1980 + number} for number in range(1, 4)
    ]
    assert (await arm.customers.sync(plain, state=tmp_path / "state")).bulk.counts["succeeded"] == 3
    other = [{**one, "dateOfBirth": pd.Timestamp("1980-01-02"), "yearOfBirth": np.int64(one["yearOfBirth"])} for one in plain]
    for source in (other, iter(other)):
        report = await arm.customers.sync(source, state=tmp_path / "state")
        assert report.bulk.counts["unchanged"] == report.bulk.totals.records_read == 3


async def test_a_check_judges_what_would_be_sent(arm: ArmClient) -> None:
    report = await arm.documents.check(MIXED)
    assert {(fault.index, fault.path) for fault in report.faults if fault.path in {"$.documentDate", "$.documentNo"} and fault.index} >= {
        (2, "$.documentDate"),
        (5, "$.documentDate"),
        (6, "$.documentNo"),
    }
    fine = {"$.documentDate", "$.documentLines[0].price"}
    assert not [fault for fault in report.faults if fault.index in {1, 3, 4} and fault.path in fine]


async def test_one_record_at_a_time_and_one_batch(sandbox: Sandbox) -> None:
    async with ArmClient(2218, auth=sandbox.token, base_url=sandbox.base_url, retry=QUICK) as arm:
        await arm.customers.create(Person("1", "Ola"))
        kari = {"customerNo": "3", "name": "Kari", "dateOfBirth": pd.Timestamp("1980-01-02")}
        receipt = await arm.customers.create_batch([Model(customer_no="2"), kari])
        await arm.batches.wait(receipt.batch_uuid, poll_first=0.01)
        assert (await arm.customers.get("3")).date_of_birth == date(1980, 1, 2)
        with pytest.raises(ConfigurationError, match="is one record"):
            arm.customers.create_many(Model(customer_no="2"))  # type: ignore[arg-type]


def test_an_attribute_as_a_name_in_a_mapping_is_a_mistake() -> None:
    assert right_name("customer_no", Customer) == "customerNo"
    assert right_name("name", Customer) is None
