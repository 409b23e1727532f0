"""`amili-arm probe`: against a sandbox that is as assumed, and against sandboxes that differ."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import stat
from types import SimpleNamespace

import pytest

from amili_arm_async import ArmClient
from amili_arm_async.cli.probe import probe as probing
from amili_arm_async.cli.probe.probe import MAX_REQUESTS
from amili_arm_async.sandbox import Fault

from .conftest import WAIT, wait_until

PERSON = {
    "customerNo": "770077",
    "name": "Torbjørg Ankerås",
    "phoneNo": "+47 91827364",
    "emailAddressDocument": ["torbjorg@ankeras.example"],
    "ssn": "17057912345",
    "dateOfBirth": "1979-05-17",
    "postalAddress": {"addressLine1": "Fjellveien 81", "postalCode": "5019", "cityName": "Bergen"},
}
DOCUMENT = {"documentNo": "88776655", "documentType": "IN", "customerNo": "770077", "kid": "123456785", "customerMessage": "Takk, Torbjørg"}
TRACES = ["Torbjørg", "Torbj", "Ankerås", "torbjorg", "91827364", "17057912345", "1979-05-17", "Fjellveien", "Bergen", "770077", "88776655"]


def seed(served, customers=37, documents=3):
    served.ask(
        lambda sandbox: (
            sandbox.customers.seed([PERSON, *({"customerNo": str(number), "name": "Kari"} for number in range(1, customers))]),
            sandbox.documents.seed({**DOCUMENT, "documentNo": f"D{number}"} for number in range(documents)),
        )
    )


@pytest.fixture
def probe(call):
    """Probes a sandbox; gives what it told, by the assumption."""

    def run(served, *arguments, env=None):
        result = call("probe", *arguments, "--json", env={**served.env, **(env or {})})
        told = json.loads(result.stdout) if result.stdout else {"findings": [], "settings": ""}
        found = {one["id"]: (one["verdict"], one["seen"]) for one in told["findings"]}
        return SimpleNamespace(code=result.exit_code, found=found, told=told, stderr=result.stderr, settings=told["settings"])

    return run


def requests(served):
    return served.ask(lambda sandbox: [(seen.method, seen.path) for seen in sandbox.recent if "/identity" not in seen.path])


def batch(served, records, **more):
    """Sends a batch, waits for its end, gives its batchUuid."""

    async def send():
        env = served.env
        token = served.ask(lambda sandbox: sandbox.token)
        async with ArmClient(2218, auth=token, base_url=env["AMILI_ARM_BASE_URL"]) as arm:
            receipt = await arm.customers.create_batch(records)
            while (await arm.batches.get(receipt.batch_uuid)).http_status == 202:
                await asyncio.sleep(0)
            return receipt.batch_uuid

    return asyncio.run(send())


# --- what is as assumed ---------------------------------------------------------------------------------------------------


def test_all_that_a_sandbox_shows_is_as_assumed_and_only_reads_are_asked(probe, serve):
    served = serve(list_cap=10_000)
    seed(served)
    told = probe(served, "--batch", batch(served, [{"customerNo": "1", "name": "Kari"}]))
    assert {name: found for name, found in told.found.items() if found[0] == "different"} == {}
    assert told.code == 0
    assert told.settings == "none: all is as assumed"
    assert told.found["customers.list.links"] == ("as assumed", "query, pageno on the same host")
    assert told.found["customers.list.end"] == ("as assumed", "absent")
    assert told.found["batches.entry_fields"][0] == "as assumed"
    assert told.found["token.answer"][0] == "as assumed"
    assert {method for method, _ in requests(served)[2:]} == {"GET"}
    assert told.told["requests"] <= MAX_REQUESTS


def test_the_table(call, served):
    seed(served)
    result = call("probe", env=served.env)
    line = next(line for line in result.stdout.splitlines() if "customers.list: nextPage of the last page" in line)
    assert re.split(" {2,}", line) == ["as assumed", "customers.list: nextPage of the last page", "absent, null or blank", "absent"]
    assert "Settings for ArmClient" in result.stdout
    assert result.stderr == ""


def test_an_empty_ledger_is_no_failure(probe, served):
    told = probe(served)
    assert told.found["customers.list.links"] == ("not seen", "not seen (the list has one page)")
    assert told.found["customers.list.end"] == ("as assumed", "absent")
    assert told.found["customers.get.shape"][0] == "not seen"


# --- each setting of a sandbox that differs --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "finding", "verdict", "seen"),
    [
        ({"next_page_end": "null"}, "customers.list.end", "as assumed", "null"),
        ({"next_page_end": "blank"}, "customers.list.end", "as assumed", "blank"),
        ({"list_cap": 30}, "customers.list.cap", "different", "maximumCount 30"),
        ({"total_count": "all"}, "customers.list.total", "different", "it counts all"),
        ({"page_size_cap": 500}, "customers.list.large", "different", "pageSizeLimit 500"),
        ({"list_names": {"customers.list": "kunder"}}, "customers.list.name", "different", "kunder"),
        ({"list_names": {"documents.list": "invoices"}}, "documents.list.name", "different", "invoices"),
        ({"list_names": {"gl_items.list": "items"}}, "gl_items.list.name", "as assumed", "items"),
        ({"list_names": {"log_items.list": "lines"}}, "log_items.list.name", "as assumed", "lines"),
        ({"record_style": "wrapped"}, "customers.get.shape", "as assumed", "under customer"),
        ({"record_style": "listed"}, "documents.get.shape", "as assumed", "in the list documents"),
        ({"error_style": "problem"}, "errors.body", "different", "(application/problem+json)"),
        ({"error_style": "text"}, "errors.body", "different", "no JSON (text/plain)"),
        ({"error_style": "empty"}, "errors.body", "different", "empty"),
        ({"request_id_header": None}, "headers.request_id", "not seen", "no header looks like one"),
        ({"request_id_header": "X-Amzn-Trace-Id"}, "headers.request_id", "different", "x-amzn-trace-id"),
        ({"request_id_header": "X-Correlation-Id"}, "headers.request_id", "as assumed", "x-correlation-id"),
        ({"rate_limit_headers": True}, "headers.rate_limits", "different", "x-ratelimit-limit 600"),
    ],
    ids=str,
)
def test_a_sandbox_that_differs(probe, serve, settings, finding, verdict, seen):
    served = serve(**settings)
    seed(served)
    told = probe(served)
    assert told.found[finding][0] == verdict
    assert seen in told.found[finding][1]
    if verdict == "different":
        assert told.code == 1


@pytest.mark.parametrize(
    ("settings", "finding", "verdict", "seen"),
    [
        ({"entries_name": "lines"}, "batches.entries", "as assumed", "lines"),
        ({"result_style": "summary"}, "batches.entries", "different", "none, and the whole is partial"),
        ({"partial_status": 200}, "batches.status", "as assumed", "200 (partial)"),
        ({"partial_status": 206}, "batches.status", "as assumed", "206 (partial)"),
        ({"words": {"partial": "DELVIS"}}, "batches.words", "different", "unknown: DELVIS"),
        ({"words": {"processed": "BEHANDLET", "succeeded": "GODKJENT"}}, "batches.words", "different", "BEHANDLET, GODKJENT"),
    ],
    ids=str,
)
def test_a_batch_of_a_sandbox_that_differs(probe, serve, settings, finding, verdict, seen):
    served = serve(**settings)
    served.ask(lambda sandbox: sandbox.reject_record("2", "Kari er feil"))
    uuid = batch(served, [{"customerNo": "1", "name": "Kari"}, {"customerNo": "2", "name": "Ola"}])
    told = probe(served, "--batch", uuid)
    assert told.found[finding][0] == verdict
    assert seen in told.found[finding][1]
    assert uuid not in json.dumps(told.told)


def test_unknown_words_are_put_where_they_belong(probe, serve):
    words = {"processed": "BEHANDLET", "succeeded": "GODKJENT", "partial": "DELVIS", "failed": "AVVIST", "pending": "KARANTENE"}
    served = serve(words=words)
    served.ask(lambda sandbox: sandbox.reject_record("2"))
    uuid = batch(served, [{"customerNo": "1", "name": "Kari"}, {"customerNo": "2", "name": "Ola"}])
    told = probe(served, "--batch", uuid)
    assert 'succeeded=BatchWords().succeeded | {"BEHANDLET", "GODKJENT"},' in told.settings
    assert 'failed=BatchWords().failed | {"AVVIST"},' in told.settings
    assert 'partial=BatchWords().partial | {"DELVIS"},' in told.settings
    assert "please confirm" in told.settings


def test_a_word_that_nobody_can_place_is_left_to_a_person(probe, serve):
    served = serve(words={"succeeded": "ZYX"})
    told = probe(served, "--batch", batch(served, [{"customerNo": "1", "name": "Kari"}]))
    assert told.settings == '# "ZYX" is in no set of BatchWords, and nothing shows where it belongs: decide yourself'


def test_what_may_be_a_name_is_no_word(probe, served):
    body = b'{"status": "Torbj\xc3\xb8rg Anker\xc3\xa5s", "result": "SUCCESS"}'
    served.ask(lambda sandbox: sandbox.inject(Fault.status(200, body=body), path="batches"))
    told = probe(served, "--batch", "A" * 22)
    assert told.found["batches.words"] == ("different", "unknown: xxxxxxxx xxxxxxx")
    assert "Torbj" not in json.dumps(told.told, ensure_ascii=False)


# --- paths ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "path", "more"),
    [
        ("documents.list", "clients/{clientno}/document", ()),
        ("codes.get", "clients/{clientno}/code", ()),
        ("client_configs.list", "clients/{clientno}/client-configs", ("client_configs.get", "key")),
        ("log_items.list", "clients/{clientno}/logItems", ("log_items.get", "logitemid")),
        ("gl_movements.latest_closed", "clients/{clientno}/gl-movements/latest-closed", ()),
        ("insights.adb_intervals", "clients/{clientno}/adbintervals", ()),
        ("health.check", "healthcheck", ()),
    ],
)
def test_a_path_that_is_elsewhere_is_found_and_told(probe, serve, name, path, more):
    served = serve(paths={name: path})
    seed(served)
    told = probe(served)
    verdict, seen = told.found[f"{name}.path"]
    assert verdict == "different"
    assert seen.endswith(f"; it is at {path}")
    expected = {name: path}
    if more:
        expected[more[0]] = f"{path}/{{{more[1]}}}"
    advice = eval(f"dict({told.settings})")
    assert advice == {"paths": expected}
    # What is told to be set can be set.
    ArmClient(1, auth="t", base_url="https://h", **advice)
    assert told.code == 1
    assert {method for method, _ in requests(served)} == {"GET"}


def test_what_the_token_may_not_is_not_seen(probe, served):
    served.ask(lambda sandbox: sandbox.inject(Fault.status(403), path="aritems", times=None))
    told = probe(served)
    assert told.found["ar_items.list.path"] == ("not seen", "not seen (403: the token may not)")
    assert told.found["ar_items.list.summary"] == ("not seen", "not seen (403: the token may not)")


def test_a_next_page_that_never_ends_is_not_followed_for_ever(probe, served):
    page = {
        "summary": {
            "pageNo": 1,
            "totalPages": 9,
            "nextPage": "https://elsewhere.example/x?query=q&pageno=2&token=t",
            "lastPage": "?pageno=9",
        },
        "customers": [],
    }
    served.ask(lambda sandbox: sandbox.inject(Fault.status(200, body=json.dumps(page).encode()), path="customers", times=None))
    told = probe(served)
    assert told.found["customers.list.links"][0] == "different"
    assert "query, pageno, token; on another host (elsewhere.example)" in told.found["customers.list.links"][1]
    assert told.found["customers.list.end"] == ("not seen", "not seen (the last page was not reached)")
    assert told.found["customers.list.summary"][1] == ("missing: currentPageSize, pageSizeLimit, totalCount, maximumCount, queryId")
    assert told.told["requests"] <= MAX_REQUESTS


# --- how it ends ----------------------------------------------------------------------------------------------------------


def test_wrong_use(call, served, tmp_path):
    for arguments in (["--write"], ["--customer", tmp_path / "x"], ["--write", "--customer", tmp_path / "x"], ["--batch", ""]):
        assert call("probe", *arguments, env=served.env).exit_code == 2
    (tmp_path / "list").write_text("[]")
    (tmp_path / "bare").write_text('{"name": "Kari"}')
    for name in ("list", "bare"):
        for option in ("--customer", "--document"):
            assert call("probe", "--write", option, tmp_path / name, env=served.env).exit_code == 2
    assert call("probe").exit_code == 2
    assert requests(served) == []


def test_a_token_that_is_refused_ends_it(probe, served):
    told = probe(served, env={"AMILI_ARM_TOKEN": "no-such-token"})
    assert told.code == 2
    assert "the service refused the token (401)" in told.stderr
    assert len(requests(served)) == 1
    assert told.found["customers.list.path"] == ("not seen", "not seen (401)")
    assert "different" not in {verdict for verdict, _ in told.found.values()}


def test_a_token_that_is_refused_again_and_again_is_not_renewed_for_ever(probe, served):
    served.ask(lambda sandbox: sandbox.inject(Fault.status(401), skip=2, times=None))
    told = probe(served)
    assert told.told["requests"] == 5
    assert told.found["codes.get.path"][1] == "not seen (the token was refused (401) again and again)"


def test_an_identity_service_that_refuses_ends_it(probe, served):
    told = probe(served, env={"AMILI_ARM_CLIENT_SECRET": "wrong"})
    assert told.code == 2
    assert "401" in told.stderr
    assert requests(served) == []


def test_an_identity_service_that_fails_is_asked_once(probe, served):
    served.ask(lambda sandbox: sandbox.inject(Fault.status(503), path="identity", times=None))
    told = probe(served)
    assert told.code == 2
    assert "the identity service gave no token" in told.stderr
    assert served.ask(lambda sandbox: sum("/identity" in seen.path for seen in sandbox.recent)) == 1


def test_a_service_that_can_not_be_reached(call):
    env = {"AMILI_ARM_BASE_URL": "http://127.0.0.1:9", "AMILI_ARM_CLIENT_NO": "1", "AMILI_ARM_TOKEN": "t"}
    result = call("probe", "--json", env=env)
    assert result.exit_code == 2
    assert "the service gave no answer" in result.stderr
    assert json.loads(result.stdout)["requests"] == 1


@pytest.mark.parametrize(("fault", "in_a_row"), [(Fault.reset_before(), 3), (Fault.hang_before(), 1)], ids=["dies", "hangs"])
def test_a_service_that_fails_in_the_midst(probe, served, fault, in_a_row, monkeypatch):
    monkeypatch.setattr(probing, "_IN_A_ROW", in_a_row)
    seed(served)
    served.ask(lambda sandbox: sandbox.inject(fault, skip=6, times=None))
    told = probe(served, "--timeout", 2)
    assert told.code == 2
    assert told.told["requests"] == 6 + in_a_row
    assert told.found["customers.list.end"] == ("as assumed", "absent")
    assert told.found["codes.get.path"][1].startswith("not seen (the service gave no answer")


def test_a_service_that_wants_to_be_left_alone_is(probe, served):
    served.ask(lambda sandbox: sandbox.inject(Fault.status(429, retry_after=60), skip=3, times=None))
    told = probe(served)
    assert told.told["requests"] == 4
    assert told.found["headers.retry_after"] == ("as assumed", "with 429")
    assert told.found["codes.get.path"][1] == "not seen (429: the service asked to be left alone for 60 s)"


def test_no_more_is_asked_than_was_agreed(probe, served, monkeypatch):
    monkeypatch.setattr(probing, "MAX_REQUESTS", 7)
    seed(served)
    told = probe(served)
    assert told.told["requests"] == len(requests(served)) == 7
    assert told.found["customers.list.path"][0] == "as assumed"
    assert told.found["codes.get.path"] == ("not seen", "not seen (the bound on requests was reached)")


def test_ctrl_c_tells_what_was_seen(start, served):
    seed(served)
    served.ask(lambda sandbox: sandbox.inject(Fault.hang_before(), skip=6, times=None))
    process = start("probe", "--json", env=served.env)
    wait_until(served, lambda sandbox: sandbox.in_flight == 1 and len(sandbox.recent) >= 7)
    process.send_signal(signal.SIGINT)
    output, error = process.communicate(timeout=WAIT)
    assert process.returncode == 130
    assert b"interrupted" in error
    found = {one["id"]: one for one in json.loads(output)["findings"]}
    assert found["customers.list.path"]["verdict"] == "as assumed"
    assert found["codes.get.path"]["seen"] == "not seen (interrupted)"


# --- writing --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path):
    customer, document = tmp_path / "customer.json", tmp_path / "document.json"
    customer.write_text(json.dumps(PERSON))
    document.write_text(json.dumps(DOCUMENT))
    return ["--customer", customer, "--document", document]


def taken(served):
    return served.ask(lambda sandbox: (sandbox.customers.delivered("770077"), sandbox.documents.delivered("88776655")))


def test_one_customer_and_one_document_are_sent(probe, served, files):
    told = probe(served, "--write", *files)
    assert taken(served) == (1, 1)
    assert told.found["write.receipt"][0] == "as assumed"
    assert told.found["write.course"][1].endswith("200 PROCESSED/SUCCESS")
    assert told.found["write.customer"] == ("as assumed", "the same")
    assert told.found["write.document_answer"] == ("as assumed", "200: status, result, message, documentNo (PROCESSED/SUCCESS)")
    assert told.found["write.document"] == ("as assumed", "the same")
    assert told.found["batches.words"][0] == "as assumed"
    assert [call for call in requests(served) if call[0] != "GET"] == [
        ("POST", "/arm/v1/clients/2218/customers/batches"),
        ("POST", "/arm/v1/clients/2218/documents"),
    ]


def test_the_course_of_a_batch_is_told(probe, served, files):
    served.ask(lambda sandbox: setattr(sandbox, "process_delay", 0.2))
    told = probe(served, "--write", *files)
    assert told.found["write.course"][0] == "as assumed"
    assert told.found["write.course"][1].startswith("202 NOT-PROCESSED/PENDING")
    assert told.found["write.course"][1].endswith(", then 200 PROCESSED/SUCCESS")


def test_a_batch_that_does_not_end_is_not_waited_for_longer_than_was_said(probe, served, files):
    served.ask(lambda sandbox: setattr(sandbox, "process_delay", 3600.0))
    told = probe(served, "--write", *files, "--deadline", 0)
    assert told.found["write.course"] == ("different", "202 NOT-PROCESSED/PENDING; it did not end")
    assert told.found["write.document_answer"] == ("not seen", "not seen (it was not sent, because the customer did not succeed)")
    assert taken(served) == (1, 0)


def test_no_document_for_a_customer_that_failed(probe, served, files):
    seed(served)
    served.ask(lambda sandbox: sandbox.reject_record("770077", "Torbjorg"))
    told = probe(served, "--write", *files)
    assert told.found["write.document_answer"] == ("not seen", "not seen (it was not sent, because the customer did not succeed)")
    assert taken(served) == (1, 0)


def test_a_word_for_a_customer_that_is_there_tells_of_success(probe, serve, files):
    served = serve(words={"succeeded": "ZYX"})
    told = probe(served, "--write", *files[:2])
    assert told.found["write.customer"] == ("as assumed", "the same")
    assert 'succeeded=BatchWords().succeeded | {"ZYX"},' in told.settings


def test_names_of_what_differs_and_no_values(probe, served, files):
    shown = {
        **PERSON,
        "name": "TORBJØRG ANKERÅS",
        "phoneNo": "4791827364",
        "postalAddress": {**PERSON["postalAddress"], "cityName": "Oslo"},
    }
    body = json.dumps(shown).encode()
    served.ask(lambda sandbox: sandbox.inject(Fault.status(200, body=body), path="customers/770077"))
    told = probe(served, "--write", *files)
    assert told.found["write.customer"] == ("different", "phoneNo, postalAddress.cityName differ")


@pytest.mark.parametrize(
    "fault", [Fault.reset_after(), Fault.status(500, taken=True), Fault.cut(), Fault.status(503, retry_after=99)], ids=str
)
def test_the_document_is_sent_once_whatever_the_answer(probe, served, files, fault):
    injected = served.ask(lambda sandbox: sandbox.inject(fault, method="POST", path="documents"))
    told = probe(served, "--write", *files)
    assert injected.fired == 1
    assert taken(served) == (1, 1)
    assert told.code == 1
    assert told.told["document_unknown"]
    assert "do not send it again" in told.stderr


def test_a_success_that_says_otherwise(probe, served, files):
    body = b'{"status": "PROCESSED", "result": "FAILED", "message": "Torbjorg"}'
    served.ask(lambda sandbox: sandbox.inject(Fault.status(200, body=body), method="POST", path="documents"))
    told = probe(served, "--write", *files)
    assert told.found["write.document_answer"] == ("different", "200: status, result, message (PROCESSED/FAILED)")
    assert told.found["write.document"] == ("different", "404: it is not there")


def test_a_document_that_is_refused_is_not_unknown(probe, served, files):
    served.ask(lambda sandbox: sandbox.inject(Fault.status(422), method="POST", path="documents"))
    told = probe(served, "--write", *files)
    assert told.found["write.document_answer"] == ("different", "refused with 422")
    assert not told.told["document_unknown"]


def test_a_signal_while_the_document_is_on_its_way(start, served, files):
    served.ask(lambda sandbox: sandbox.inject(Fault.hang_after(), method="POST", path="documents"))
    process = start("probe", "--write", *files, "--json", env=served.env)
    wait_until(served, lambda sandbox: sandbox.documents.delivered("88776655") == 1)
    process.send_signal(signal.SIGTERM)
    output, error = process.communicate(timeout=WAIT)
    assert process.returncode == 143
    assert json.loads(output)["document_unknown"]
    assert b"do not send it again" in error
    assert taken(served) == (1, 1)


def test_nothing_is_written_to_a_host_that_may_be_production(probe, call, served, files, monkeypatch):
    monkeypatch.setattr(probing, "is_loopback", lambda host: False)
    result = call("probe", "--write", *files, env=served.env)
    assert result.exit_code == 2
    assert "--production" in result.stderr
    assert requests(served) == []
    assert served.ask(lambda sandbox: sandbox.token_requests) == 0
    assert probe(served, "--write", *files, "--production").found["write.document"] == ("as assumed", "the same")
    assert taken(served) == (1, 1)


@pytest.mark.parametrize(
    ("base_url", "allowed"),
    [
        ("https://api.staging.amili.no/arm/v1", True),
        ("https://API.staging.amili.no/other", True),
        ("http://127.0.0.1:8080", True),
        ("http://localhost", True),
        ("https://api.amili.no/arm/v1", False),
        ("https://api.staging.amili.no.example.com/arm/v1", False),
        ("https://staging.amili.no", False),
    ],
)
def test_hosts(base_url, allowed):
    probing.check_host(base_url, is_production=True)
    if allowed:
        probing.check_host(base_url, is_production=False)
    else:
        with pytest.raises(ValueError, match="--production"):
            probing.check_host(base_url, is_production=False)


# --- what is saved --------------------------------------------------------------------------------------------------------


def test_the_replies_hold_nothing_of_a_person(call, serve, files, tmp_path):
    served = serve(error_style="text")
    seed(served)
    served.ask(lambda sandbox: sandbox.inject(Fault.status(404, body="Fant ikke Torbjørg Ankerås".encode()), path="aritems", times=None))
    directory = tmp_path / "replies"
    env = {**served.env, "AMILI_ARM_USER_ID": "torbjorg"}
    result = call("probe", "--write", *files, "--save", directory, "--batch", "770077-88776655", env=env)
    assert result.exit_code == 1
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    saved = sorted(directory.iterdir())
    asked = len(requests(served))
    assert len(saved) == asked
    assert {stat.S_IMODE(path.stat().st_mode) for path in saved} == {0o600}
    token = served.ask(lambda sandbox: sandbox.token)
    for text in [*(path.read_text() for path in saved), *(path.name for path in saved), result.output]:
        assert [trace for trace in [*TRACES, token, "2218", served.sandbox.client_secret] if trace in text] == []
    first = json.loads(saved[0].read_text())
    assert first["operation"] == "customers.list"
    assert first["path"] == "clients/{clientno}/customers"
    assert first["query"] == {"pagesize": "5", "userid": "(not shown)"}
    assert first["body"]["summary"]["totalCount"] == 37
    assert first["body"]["customers"][0]["name"] == "xxxxxxxx xxxxxxx"
    assert first["body"]["customers"][0]["postalAddress"]["addressLine1"] == "xxxxxxxxxx 00"


def test_a_directory_that_is_not_empty_is_refused_before_anything_is_sent(call, served, tmp_path):
    (tmp_path / "old").write_text("old")
    for path in (tmp_path, tmp_path / "old", tmp_path / "no" / "such"):
        assert call("probe", "--save", path, env=served.env).exit_code == 2
    assert requests(served) == []
    empty = tmp_path / "empty"
    empty.mkdir(mode=0o755)
    assert call("probe", "--save", empty, env=served.env).exit_code in {0, 1}
    assert stat.S_IMODE(empty.stat().st_mode) == 0o700


def test_what_can_not_be_saved_is_told_and_the_probe_goes_on(call, served, tmp_path, monkeypatch):
    seed(served)
    (tmp_path / "replies").mkdir()
    from amili_arm_async.cli.probe import masking as saving

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(saving, "os", SimpleNamespace(open=full, O_WRONLY=0, O_CREAT=0, O_EXCL=0, fdopen=None))
    result = call("probe", "--save", tmp_path / "replies", "--json", env=served.env)
    assert result.exit_code == 2
    assert "No space left on device" in result.stderr
    assert json.loads(result.stdout)["requests"] > 30
