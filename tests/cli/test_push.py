"""`amili-arm push`: what is sent, what is said of lines that did not succeed, and the exit codes."""

from __future__ import annotations

import json

import pytest

from amili_arm_async.sandbox import Fault

STATES = {"succeeded", "failed", "accepted", "rejected", "invalid", "unknown", "unchanged", "done_before", "blocked", "not_sent"}
STATES |= {"would_be_sent", "other_part"}


def customer(number, **more):
    return json.dumps({"customerNo": number, "name": "Kari Nordmann", **more}, ensure_ascii=False).encode()


def document(number, owner="1"):
    return json.dumps({"documentType": "IN", "customerNo": owner, "documentNo": number}).encode()


@pytest.fixture
def file(tmp_path):
    def write(*lines, end=b"\n"):
        path = tmp_path / "records.jsonl"
        path.write_bytes(b"".join(line + end for line in lines))
        return path

    return write


def report(result):
    """The one line of JSON on standard output."""
    assert result.stdout.count("\n") == 1
    return json.loads(result.stdout)


def test_customers_arrive(push, file, served):
    result = push("customers", file(*(customer(str(number)) for number in range(1, 31))), "--json", "--max-records", 10, "-q")
    assert result.exit_code == 0
    said = report(result)
    assert said["counts"].keys() == STATES
    assert said["counts"]["accepted"] == 30
    assert said["ok"] is True
    assert (said["records"], said["batches"], said["failed_records"]) == (30, 3, 0)
    assert served.ask(lambda sandbox: sandbox.customers.total_taken) == 30
    assert result.stderr == ""


def test_records_are_sent_as_they_stand(push, file, served):
    push("customers", file(b'{ "customerNo" : "1","name":"\\u00c5se  \xc3\x98", "limitAmount": 1.10, "other": [1e2] }'))
    stored = served.ask(lambda sandbox: sandbox.customers.get("1"))
    assert (stored["name"], str(stored["limitAmount"]), stored["other"]) == ("Åse  Ø", "1.10", [100])


def test_results_are_waited_for_by_default(call, file, served):
    path = file(customer("1"), customer(""), customer("3"))
    result = call("push", "customers", path, "--json", env=served.env)
    assert result.exit_code == 1
    said = report(result)
    assert (said["counts"]["succeeded"], said["counts"]["failed"], said["ok"]) == (2, 1, False)
    assert "line 2: failed (PROCESSED/FAILED)" in result.stderr


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (b'{"customerNo":"2","name":"B"', "an object that does not end"),
        (b"[]", "a list of JSON between lines of objects"),
        (b"17", "not a JSON object"),
        (b'{"customerNo":"2","name":"Bl\xe5b\xe6r"}', "UTF-8"),
        (b'{"customerNo":"2"} {"customerNo":"3"}', "several objects on one line"),
        (b'{"customerNo":"2","name":"' + b"x" * 965 + b'"}', "too_large"),
        (b'{"customerNo":"2","name":"' + b"x" * 90_000 + b'"}', "too_large"),
    ],
)
def test_a_broken_line_is_named_and_does_not_stop_the_rest(push, file, served, broken, reason):
    path = file(b"", customer("1"), b"", b"", broken, customer("3"), end=b"\r\n")
    result = push("customers", path, "--json", "--max-bytes", 1000)
    assert result.exit_code == 1
    assert report(result)["counts"] == {**dict.fromkeys(STATES, 0), "accepted": 2, "invalid": 1}
    named = [line for line in result.stderr.splitlines() if line.startswith("line ")]
    assert len(named) == 1
    assert named[0].startswith(("line 5: invalid (", "line 5, key 2: invalid ("))
    assert reason in named[0]
    assert served.ask(lambda sandbox: [one.key for one in sandbox.customers]) == ["1", "3"]


def test_many_lines_that_failed_alike_are_one_line_with_their_number_and_the_first_ten(push, file):
    result = push("customers", file(*[b"broken"] * 60, customer("1"), *[b"broken"] * 10))
    (line,) = [line for line in result.stderr.splitlines() if "invalid (" in line]
    assert line.startswith("70 records: invalid (not_json)")
    assert line.endswith(f"({'; '.join(f'line {number}' for number in range(1, 11))}; ...)")


def test_bom_and_a_last_line_without_an_end(push, tmp_path, served):
    path = tmp_path / "bom.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + customer("1") + b"\r\n\r\n" + customer("2"))
    assert push("customers", path).exit_code == 0
    assert served.ask(lambda sandbox: len(sandbox.customers)) == 2


def test_an_empty_file_is_no_failure(push, file):
    result = push("customers", file(), "--json")
    assert (result.exit_code, report(result)["records"]) == (0, 0)


def test_update_puts_and_knows_only_what_is_there(push, file, served):
    assert push("customers", file(customer("1"))).exit_code == 0
    assert push("customers", file(customer("1", name="New")), "--update").exit_code == 0
    requests = served.ask(lambda sandbox: dict(sandbox.requests))
    assert requests["PUT /clients/{clientno}/customers/batches"] == 1
    assert requests["POST /clients/{clientno}/customers/batches"] == 1


def test_documents(push, file, served):
    push("customers", file(customer("1")))
    assert push("documents", file(document("10"), document("11"))).exit_code == 0
    assert served.ask(lambda sandbox: sandbox.documents.taken("10") + sandbox.documents.taken("11")) == 2


def test_a_document_whose_fate_is_unknown_is_named_and_not_sent_again(push, file, served):
    served.ask(lambda sandbox: sandbox.inject(Fault.reset_after(), method="POST", path="documents/batches"))
    result = push("documents", file(document("10"), b"", document("11")), "--json")
    assert (result.exit_code, report(result)["counts"]["unknown"]) == (1, 2)
    assert "line 1, key 10: unknown (" in result.stderr
    assert "line 3, key 11: unknown (" in result.stderr
    assert served.ask(lambda sandbox: sandbox.documents.delivered("10")) == 1


@pytest.mark.parametrize(("bisect", "rejected", "accepted"), [("all", 1, 7), ("off", 8, 0), ("safe", 8, 0)])
def test_bisect(push, file, served, bisect, rejected, accepted):
    served.ask(lambda sandbox: sandbox.poison_record("13"))
    path = file(*(document(str(number)) for number in range(10, 18)))
    counts = report(push("documents", path, "--bisect", bisect, "--json"))["counts"]
    assert (counts["rejected"], counts["accepted"]) == (rejected, accepted)


def test_compression(push, file, served):
    assert push("customers", file(customer("1"), customer("2")), "--compression", "gzip").exit_code == 0
    assert served.ask(lambda sandbox: len(sandbox.customers)) == 2
    assert (
        served.ask(lambda sandbox: [seen.headers.get("Content-Encoding") for seen in sandbox.recent if seen.method == "POST"][-1]) == "gzip"
    )


def test_a_server_that_takes_nothing_compressed(call, file, serve):
    served = serve(content_encodings=())
    result = call("push", "customers", file(customer("1")), "--compression", "gzip", "--json", env=served.env)
    assert (result.exit_code, report(result)["counts"]["not_sent"]) == (1, 1)
    assert "remove --compression" in result.stderr


def test_what_the_server_wrote_is_shown_only_where_it_is_asked_for(push, file, served):
    served.ask(lambda sandbox: sandbox.poison_record("1"))
    path = file(customer("1"))
    quiet, loud = push("customers", path), push("customers", path, "--server-messages")
    words = loud.stderr.partition("line 1, key 1: rejected (400) ")[2].splitlines()[0]
    assert words
    assert words not in quiet.stderr
    assert "--server-messages" in quiet.stderr
    assert "--server-messages" not in loud.stderr


def test_nothing_of_a_record_but_its_key_is_shown(push, file, served):
    served.ask(lambda sandbox: sandbox.poison_record("2"))
    path = file(customer("1", ssn="01017012345"), customer("2", ssn="01017012345"), b'{"customerNo":"3","ssn":"01017012345"')
    result = push("customers", path, "--json")
    assert "key 2" in result.output
    assert "01017012345" not in result.output
    assert "Nordmann" not in result.output


def test_a_key_can_not_speak_to_the_terminal(push, file, served):
    served.ask(lambda sandbox: sandbox.poison_record("a\x1b[2J\rb"))
    result = push("customers", file(customer("a\x1b[2J\rb")))
    assert "key a?[2J?b: invalid" in result.stderr
    assert "\x1b" not in result.output


def test_the_table_and_the_names_go_to_standard_error(push, file):
    result = push("customers", file(customer("1"), b"broken"))
    assert result.stdout == ""
    assert "accepted" in result.stderr
    assert "invalid" in result.stderr


# --- wrong use ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["customers", "FILE", "--base-url", "http://api.example.com"], "plain http"),
        (["customers", "FILE", "--base-url", "api.example.com"], "https://"),
        (["customers", "FILE", "--client-no", "0"], "--client-no"),
        (["customers", "FILE", "--max-records", "0"], "--max-records"),
        (["customers", "FILE", "--patience", "-1"], "patience"),
        (["documents", "FILE", "--update"], "--update"),
        (["customers", "FILE", "--compression", "br"], "compression"),
        (["customers", "no such file"], "no such file can't be read: No such file"),
        (["customers", "missing/file"], "can't be read"),
        (["invoices", "FILE"], "invoices"),
        (["customers"], "FILE"),
        (["customers", "FILE", "--client-secret", "x"], "client-secret"),
        (["customers", "FILE", "--token", "x"], "token"),
    ],
)
def test_wrong_use(call, file, served, arguments, words):
    path = file(customer("1"))
    result = call("push", *(str(path) if one == "FILE" else one for one in arguments), env=served.env)
    assert result.exit_code == 2
    assert words.casefold() in result.stderr.casefold()
    assert served.ask(lambda sandbox: sandbox.customers.total_delivered) == 0


def test_settings_that_are_missing_are_named(call, file):
    result = call("push", "customers", file(customer("1")))
    assert result.exit_code == 2
    for name in ("AMILI_ARM_BASE_URL", "AMILI_ARM_CLIENT_NO", "AMILI_ARM_CLIENT_SECRET"):
        assert name in result.stderr


def test_options_win_over_the_environment(call, file, served):
    env = {
        "AMILI_ARM_BASE_URL": "https://wrong.invalid",
        "AMILI_ARM_CLIENT_NO": "1",
        "AMILI_ARM_TOKEN": "left-over",
        "AMILI_ARM_CLIENT_SECRET": served.env["AMILI_ARM_CLIENT_SECRET"],
    }
    options = {"--base-url": "BASE_URL", "--client-no": "CLIENT_NO", "--identity-url": "IDENTITY_URL", "--client-id": "CLIENT_ID"}
    given = [word for option, name in options.items() for word in (option, served.env[f"AMILI_ARM_{name}"])]
    result = call("push", "customers", file(customer("1")), "--results", "accepted", "--user-id", "night", *given, env=env)
    assert result.exit_code == 0
    assert served.ask(lambda sandbox: sandbox.customers.taken("1", 2218)) == 1


def test_a_token_of_the_environment(call, file, served):
    env = {name: served.env[name] for name in ("AMILI_ARM_BASE_URL", "AMILI_ARM_CLIENT_NO")}
    env["AMILI_ARM_TOKEN"] = served.ask(lambda sandbox: sandbox.token)
    assert call("push", "customers", file(customer("1")), "--results", "accepted", env=env).exit_code == 0


# --- a run that can't go on -----------------------------------------------------------------------------------------------


def test_refused_credentials_end_the_run_with_their_cause(call, file, served):
    env = {**served.env, "AMILI_ARM_CLIENT_SECRET": "a-wrong-secret"}
    result = call("push", "customers", file(customer("1"), b"", customer("2")), "--json", env=env)
    assert result.exit_code == 1
    assert (report(result)["counts"]["not_sent"], report(result)["ok"]) == (2, False)
    assert "the run could not continue: " in result.stderr
    assert "401" in result.stderr
    assert "line 3, key 2: not_sent" in result.stderr
    assert "a-wrong-secret" not in result.output


def test_patience_ends(call, file, served):
    served.ask(lambda sandbox: sandbox.inject(Fault.status(503), times=None))
    result = call("push", "customers", file(customer("1")), "--patience", "0", "--json", env=served.env)
    assert result.exit_code == 1
    assert "503" in result.stderr
    assert report(result)["ok"] is False


def test_a_deadline_ends_the_waiting(call, file, served):
    served.ask(lambda sandbox: sandbox.hold_processing())
    result = call("push", "customers", file(customer("1")), "--deadline", "0.2", "--json", env=served.env)
    assert result.exit_code == 1
    assert report(result)["counts"]["accepted"] == 1
    assert "line 1, key 1: accepted (deadline)" in result.stderr
