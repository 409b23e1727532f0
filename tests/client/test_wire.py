"""Requests out of arguments, values out of answers, and links that can't lead astray."""

from __future__ import annotations

import json
from decimal import Decimal
from enum import Enum
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amili_arm_async import ConfigurationError, OutcomeUnknownError, Response, ResponseError, ServerError, StatusError, wire
from amili_arm_async.endpoints import OPERATIONS
from amili_arm_async.wire import Envelope, Request, batch_receipt, build, link_query, one_record, receipt, to_error

pytestmark = pytest.mark.quick

GET = OPERATIONS["customers.get"]
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


def answer(status: int = 200, body: object = b"", complete: bool = True, **headers: str) -> Response:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Response(status, {name.replace("_", "-"): value for name, value in headers.items()}, text, complete)


# --- paths and queries --------------------------------------------------------------------------------------------------------


@given(TEXT.filter(lambda text: text.strip() and text not in {".", ".."}))
def test_a_path_parameter_is_one_part_of_the_path_whatever_it_holds(number) -> None:
    path = build(GET, {"clientno": 2218, "customerno": number}).path
    parts = path.split("/")
    assert parts[:3] == ["clients", "2218", "customers"]
    assert len(parts) == 4
    assert path.isascii()
    assert not set(parts[3]) & set("?#&\\ ")
    assert unquote(parts[3]) == number


@pytest.mark.parametrize(
    ("number", "encoded"),
    [("a/b", "a%2Fb"), ("a?b#c", "a%3Fb%23c"), ("50%", "50%25"), ("Ærø", "%C3%86r%C3%B8"), ("a b+", "a%20b%2B"), (7, "7")],
)
def test_path_parameters_are_percent_encoded(number, encoded) -> None:
    assert build(GET, {"clientno": 1, "customerno": number}).path == f"clients/1/customers/{encoded}"


class Number(int, Enum):
    SEVEN = 7


class Text(str, Enum):  # noqa: UP042 - one of StrEnum writes itself as it is sent
    SEVEN = "7"


class Code(Enum):
    SEVEN = "7"


class Marked(int):
    def __str__(self) -> str:
        return "#7"

    __repr__ = __str__


@pytest.mark.parametrize("number", [Number.SEVEN, Text.SEVEN, Code.SEVEN, Marked(7)], ids=lambda value: type(value).__name__)
def test_an_enum_stands_in_a_path_and_a_query_as_in_a_body(number) -> None:
    made = build(GET, {"clientno": 1, "customerno": number}, query={"a": number})
    assert (made.path, made.query) == ("clients/1/customers/7", (("a", "7"),))


@pytest.mark.parametrize("number", ["", " ", "\t", ".", "..", None, True, 1.5, b"7", ["7"], "\ud800"])
def test_a_path_parameter_that_would_change_the_path_is_refused_by_name(number) -> None:
    with pytest.raises(ConfigurationError, match="customerno"):
        build(GET, {"clientno": 1, "customerno": number})


def test_query_values_are_text_and_what_is_none_is_left_out() -> None:
    made = build(GET, {"clientno": 1, "customerno": "7"}, query={"a": "x", "b": 5, "c": None, "d": True, "e": False, "f": ""})
    assert made.query == (("a", "x"), ("b", "5"), ("d", "true"), ("e", "false"), ("f", ""))


@pytest.mark.parametrize("value", [1.5, b"x", ["a"], object()])
def test_a_query_value_of_another_kind_is_refused_by_name(value) -> None:
    with pytest.raises(ConfigurationError, match="pagesize"):
        build(GET, {"clientno": 1, "customerno": "7"}, query={"pagesize": value})


@pytest.mark.parametrize("language", ["no\r\nX-Evil: 1", "\x00", "nørsk", "a\tb"])
def test_a_language_that_cannot_stand_in_a_header_is_refused(language) -> None:
    with pytest.raises(ConfigurationError, match="language"):
        build(GET, {"clientno": 1, "customerno": "7"}, language=language)


def test_no_repr_of_a_request_or_an_answer_shows_data() -> None:
    request = Request(GET, "clients/1/customers/01019921717", (("name", "Armstrong"),), None, (b'{"name":"Armstrong"}',))
    response = Response(200, {"set-cookie": "secret"}, b'{"name":"Armstrong"}')
    assert "Armstrong" not in repr(request) + repr(response)
    assert "01019921717" not in repr(request)
    assert "secret" not in repr(response)


@given(st.sampled_from(["customers", "documents"]), st.none() | TEXT, st.lists(st.integers(), max_size=3))
def test_an_envelope_around_records_is_json_and_knows_its_size(items, user_id, records) -> None:
    envelope = Envelope.of(items, user_id)
    body = envelope.head + b",".join(str(record).encode() for record in records) + envelope.tail
    expected = {"metadata": {"userId": user_id}, items: records} if user_id is not None else {items: records}
    assert json.loads(body) == expected
    assert envelope.size == len(envelope.head) + len(envelope.tail)


def test_the_size_of_a_request_is_that_of_its_body() -> None:
    assert Request(GET, "p", body=(b"abc", b"", b"de")).size == 5
    assert Request(GET, "p").size == 0


# --- answers ------------------------------------------------------------------------------------------------------------------


def test_json_of_an_answer_has_exact_numbers() -> None:
    assert answer(200, b'{"a":12345678901234567890.123456789}').json() == {"a": Decimal("12345678901234567890.123456789")}


@pytest.mark.parametrize(("body", "value"), [(b"", None), (b"null", None), (b" null ", None), (b"0", 0), (b"[]", []), (b'""', "")])
def test_json_of_an_answer_may_be_empty_or_null(body, value) -> None:
    assert answer(200, body).json() == value


@pytest.mark.parametrize("body", [b"<html>", b"{", b"\xff"])
def test_an_answer_that_is_no_json_raises_when_it_is_parsed(body) -> None:
    with pytest.raises(ResponseError, match="no JSON"):
        answer(200, body).json()


@pytest.mark.parametrize("name", ["x_request_id", "request_id", "x_correlation_id", "traceparent"])
def test_the_request_id_has_one_of_the_usual_names(name) -> None:
    assert answer(**{name: "r-1"}).request_id == "r-1"
    assert answer().request_id is None


def test_an_error_has_status_operation_request_id_retry_after_and_body() -> None:
    error = to_error(answer(503, {"error": "Owe Armstrong"}, x_request_id="r-1"), GET, 7.0)
    assert isinstance(error, ServerError)
    assert (error.status, error.request_id, error.retry_after, error.body) == (503, "r-1", 7.0, {"error": "Owe Armstrong"})
    assert error.operation == "GET clients/{clientno}/customers/{customerno}"
    assert "Armstrong" not in str(error) + repr(error)
    assert "503" in str(error)
    assert "r-1" in str(error)


def test_the_body_of_an_error_that_is_no_json_is_its_text_within_bounds() -> None:
    assert to_error(answer(500, b"<html>\xff"), GET, None).body == "<html>\ufffd"
    assert len(to_error(answer(500, b"x" * 100_000), GET, None).body) == 10_000
    assert to_error(answer(500), GET, None).body is None


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (400, "BadRequestError"),
        (401, "UnauthorizedError"),
        (403, "ForbiddenError"),
        (404, "NotFoundError"),
        (406, "NotAcceptableError"),
        (409, "ConflictError"),
        (413, "PayloadTooLargeError"),
        (422, "UnprocessableError"),
        (429, "RateLimitedError"),
        (500, "ServerError"),
        (503, "ServerError"),
        (599, "ServerError"),
        (302, "StatusError"),
        (405, "StatusError"),
        (418, "StatusError"),
    ],
)
def test_each_status_has_its_class(status, name) -> None:
    error = to_error(answer(status), GET, None)
    assert type(error).__name__ == name
    assert isinstance(error, StatusError)


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"null", b'"done"', b"7", b'{"status":5,"result":null,"message":["x"]}'])
def test_a_receipt_is_read_out_of_any_answer(body) -> None:
    made = receipt(answer(200, body, x_request_id="r-1"))
    assert (made.http_status, made.result, made.message, made.request_id) == (200, None, None, "r-1")


def test_a_receipt_has_the_words_and_the_body() -> None:
    made = receipt(answer(201, {"status": "PROCESSED", "result": "SUCCESS", "message": "Armstrong", "x": 1}))
    assert (made.http_status, made.status, made.result, made.message) == (201, "PROCESSED", "SUCCESS", "Armstrong")
    assert made.body["x"] == 1
    assert "Armstrong" not in repr(made)


def test_a_single_write_can_be_read_when_it_is_whole_and_json_or_empty() -> None:
    assert all(wire.is_readable(answer(200, body)) for body in (b"", b"  ", b"{}", b"[]", b'"x"', b"0"))
    assert not any(wire.is_readable(answer(200, body)) for body in (b"<html>", b"{", b"\xff"))
    assert not wire.is_readable(answer(200, b"{}", complete=False))


@pytest.mark.parametrize("name", ["customers_batch_post", "customers_batch_put", "documents_batch_post"])
def test_the_receipts_of_the_pages_are_read(name, sample) -> None:
    made = batch_receipt(answer(202, sample(f"{name}.response")))
    said = json.loads(sample(f"{name}.response"))
    assert (made.batch_uuid, made.status, made.result) == (said["batchUuid"], "NOT-PROCESSED", "PENDING")
    assert (made.message, made.get_result) == (said["message"], said["getResult"])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"<html>",
        b'{"batchUuid":""}',
        b'{"batchUuid":" "}',
        b'{"batchUuid":7}',
        b'{"batchUuid":null}',
        b'{"batchUuid":"a\\nb"}',
        b'{"batchUuid":"ab',
    ],
)
def test_without_a_batch_uuid_there_is_no_receipt(body) -> None:
    assert batch_receipt(answer(202, body)) is None


def test_an_answer_cut_off_is_no_receipt_even_where_it_reads_well() -> None:
    assert batch_receipt(answer(202, {"batchUuid": "u"}, complete=False)) is None


def test_a_batch_uuid_is_kept_to_the_letter() -> None:
    assert batch_receipt(answer(202, {"batchUuid": "8NlwdOIM1YLVFP9-WOwkYQ"})).batch_uuid == "8NlwdOIM1YLVFP9-WOwkYQ"


def test_an_unreadable_2xx_is_an_unknown_outcome_for_an_unsafe_write_only() -> None:
    assert isinstance(wire.unreadable(answer(200), OPERATIONS["documents.create"]), OutcomeUnknownError)
    assert isinstance(wire.unreadable(answer(200), OPERATIONS["customers.create"]), ResponseError)


# --- one record ---------------------------------------------------------------------------------------------------------------

RECORD = {"customerNo": "7", "name": "x"}


@pytest.mark.parametrize(
    "body",
    [RECORD, {"customers": [RECORD]}, {"customer": RECORD}, {"customers": RECORD}, {"summary": {"totalCount": 1}, "customers": [RECORD]}],
    ids=["itself", "list", "object", "object under the plural", "page"],
)
def test_the_one_record_of_an_answer_is_found_in_every_shape(body) -> None:
    assert json.loads(one_record(json.dumps(body).encode(), "customers", "customerNo")) == RECORD


def test_a_record_without_its_key_is_the_answer_itself() -> None:
    assert one_record(b'{"name":"x"}', "customers", "customerNo") == b'{"name":"x"}'


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"null", b"<html>", b"\xff", b'{"customers":[]}', b'{"customers":[{},{}]}', b'{"customers":null}', b'{"customers":"x"}'],
)
def test_an_answer_without_one_record_has_none(body) -> None:
    assert one_record(body, "customers", "customerNo") is None


@given(st.binary(max_size=60))
def test_no_bytes_make_reading_one_record_raise(body) -> None:
    one_record(body, "customers", "customerNo")
    batch_receipt(answer(202, body))
    receipt(answer(200, body))
    to_error(answer(400, body), GET, None)


# --- links --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "link",
    [
        "https://api.staging.amili.no/arm/v1/clients/2218/customers?query=8Nl&pageno=2",
        "https://evil.example/clients/2218/customers?query=8Nl&pageno=2",
        "//evil.example?query=8Nl&pageno=2",
        "/clients/1/../../secrets?query=8Nl&pageno=2",
        "?query=8Nl&pageno=2#fragment",
        " ?query=8Nl&pageno=2 ",
        "javascript:?query=8Nl&pageno=2",
    ],
)
def test_of_a_link_only_the_query_is_used(link) -> None:
    assert link_query(link) == (("query", "8Nl"), ("pageno", "2"))


@pytest.mark.parametrize("link", ["", " ", "https://h/path", "https://h/path?", "http://[bad?query=1"])
def test_what_is_no_link_leads_nowhere(link) -> None:
    assert link_query(link) is None


def test_the_query_of_a_link_is_decoded_once() -> None:
    assert link_query("https://h/p?query=a%2Bb%252F&name=%C3%86&x=") == (("query", "a+b%2F"), ("name", "Æ"), ("x", ""))


@given(st.text(max_size=40))
def test_no_link_raises(link) -> None:
    query = link_query("https://h/p?" + link)
    assert query is None or all(isinstance(name, str) and isinstance(value, str) for name, value in query)
    link_query(link)
