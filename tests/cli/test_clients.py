"""One night of several client numbers: `[[clients]]` in the settings file."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from amili_arm_async.sandbox import Fault

from .conftest import WAIT, wait_until

posix = pytest.mark.skipif(os.name != "posix", reason="signals and permissions of POSIX")

SETTINGS = """
[nightly]
customers = "{client_no}.jsonl"
state = "{client_no}.sqlite"
report = "{client_no}.json"
on_end = "cat > told.json"
metrics = "m.prom"

[[clients]]
client_no = 1

[[clients]]
client_no = 2
[clients.constants.customers]
name = "Of client two"

[[clients]]
client_no = 3
[clients.nightly]
customers = "third.jsonl"
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("1", "third"):
        (tmp_path / f"{name}.jsonl").write_text('{"customerNo": "1", "name": "Kari"}\n')
    (tmp_path / "2.csv").write_text("customerNo\n7\n")
    (tmp_path / "amili-arm.toml").write_text(SETTINGS.replace("client_no = 2\n", 'client_no = 2\n[clients.nightly]\ncustomers = "2.csv"\n'))
    return tmp_path


@pytest.fixture
def env(served):
    return {name: value for name, value in served.env.items() if name != "AMILI_ARM_CLIENT_NO"}


def taken(served):
    return served.ask(lambda sandbox: sandbox.customers.total_taken)


def test_all_are_run_one_after_the_other(call, served, env, folder):
    assert call("nightly", env=env).exit_code == 0
    assert [json.loads((folder / f"{number}.json").read_text())["client_no"] for number in (1, 2, 3)] == [1, 2, 3]
    assert taken(served) == 3
    told = json.loads((folder / "told.json").read_text())
    assert told["ok"]
    assert [(one["client_no"], one["ok"], one["report"]["parts"][0]["read"]) for one in told["clients"]] == [
        (1, True, 1),
        (2, True, 1),
        (3, True, 1),
    ]
    found = (folder / "m.prom").read_text()
    for number in (1, 2, 3):
        assert f'amili_arm_run_exit_code{{command="nightly",client_no="{number}"}} 0' in found


@pytest.mark.parametrize(("file", "content", "code"), [("1.jsonl", None, 2), ("1.jsonl", "broken\n", 1)])
def test_one_that_fails_does_not_stop_the_others(call, served, env, folder, file, content, code):
    (folder / file).unlink() if content is None else (folder / file).write_text(content)
    result = call("nightly", env=env)
    assert result.exit_code == code
    assert f"client 1: exit code {code}" in result.stderr
    assert taken(served) == 2
    if content is not None:
        commands = json.loads((folder / "1.json").read_text())["commands"]
        assert commands
        assert all("--client-no 1" in json.dumps(command) for command in commands)
    told = json.loads((folder / "told.json").read_text())
    assert [(one["client_no"], one["exit_code"]) for one in told["clients"]] == [(1, code), (2, 0), (3, 0)]
    assert f'amili_arm_run_exit_code{{command="nightly",client_no="1"}} {code}' in (folder / "m.prom").read_text()


def test_client_no_picks_one(call, served, env, folder):
    assert call("nightly", "--client-no", 3, env=env).exit_code == 0
    assert (taken(served), (folder / "3.json").exists(), (folder / "1.json").exists()) == (1, True, False)
    assert call("nightly", "--client-no", 4, env=env).exit_code == 2


@pytest.mark.parametrize("option", ["--state", "--dead-letter-customers"])
def test_two_with_one_file_are_refused(call, served, env, folder, option):
    result = call("nightly", option, "same", env=env)
    assert (result.exit_code, taken(served)) == (2, 0)
    assert f"{option} of client 1 (same)" in " ".join(result.stderr.split())
    assert call("nightly", option, "same", "--client-no", 1, env=env).exit_code == 0


@posix
def test_documents_that_two_would_send_are_refused(call, served, env, folder):
    (folder / "invoices.jsonl").write_text('{"documentNo": "1", "documentType": "IN", "customerNo": "1"}\n')
    (folder / "link.jsonl").symlink_to("invoices.jsonl")
    settings = (folder / "amili-arm.toml").read_text()
    (folder / "amili-arm.toml").write_text(settings.replace("third.jsonl", 'third.jsonl"\ndocuments = "link.jsonl'))
    result = call("nightly", "--no-journal", "--client-no", 3, env=env)
    assert (result.exit_code, served.ask(lambda sandbox: sandbox.documents.total_taken)) == (0, 1)
    (folder / "amili-arm.toml").write_text(
        (folder / "amili-arm.toml").read_text().replace("[nightly]", '[nightly]\ndocuments = "invoices.jsonl"', 1)
    )
    result = call("nightly", "--no-journal", env=env)
    assert (result.exit_code, served.ask(lambda sandbox: sandbox.documents.total_taken)) == (2, 1)
    assert "billed twice: give each client its own, such as one with {client_no} in its path" in " ".join(result.stderr.split())


def test_a_client_number_in_the_environment_is_refused(call, served, folder):
    result = call("nightly", env=served.env)
    assert (result.exit_code, taken(served)) == (2, 0)
    assert "AMILI_ARM_CLIENT_NO" in result.stderr


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("[clients]\nclient_no = 1", "[[clients]]"),
        ("[[clients]]", "has no client_no"),
        ("[[clients]]\nclient_no = 0", "client_no"),
        ("[[clients]]\nclient_no = 1\n[[clients]]\nclient_no = 1", "twice"),
        ("[[clients]]\nclient_no = 1\n[clients.nightly]\non_end = 'x'", "[nightly]"),
        ("[[clients]]\nclient_no = 1\n[clients.connection]\nclient_no = 2", "client_no"),
        ("[[clients]]\nclient_no = 1\n[clients.nightly]\nstat = 'x'", "'state'"),
    ],
)
def test_a_wrong_entry_is_refused(call, served, env, folder, entry, words):
    (folder / "amili-arm.toml").write_text(entry + "\n")
    result = call("nightly", env=env)
    assert (result.exit_code, taken(served)) == (2, 0)
    assert words in result.stderr


def test_clients_may_share_a_journal(call, served, env, folder):
    number = "88776655"
    record = {"documentNo": number, "documentType": "IN", "customerNo": "1", "currency": "NOK", "currencyAmounts": {"inclVat": 1}}
    for client in (1, 3):
        (folder / f"documents.{client}.jsonl").write_text(json.dumps(record) + "\n")
    settings = SETTINGS.replace("[nightly]\n", '[nightly]\ndocuments = "documents.{client_no}.jsonl"\njournal = "journal.sqlite"\n', 1)
    (folder / "amili-arm.toml").write_text(settings.partition("[[clients]]\nclient_no = 2")[0] + "[[clients]]\nclient_no = 3\n")
    (folder / "3.jsonl").write_text((folder / "1.jsonl").read_text())
    for sent in (2, 2):
        # Again with the same run id: nothing is sent twice, for neither.
        result = call("nightly", "--run-id", "a", env=env)
        assert result.exit_code == 0, result.output
        assert served.ask(lambda sandbox: sandbox.documents.total_taken) == sent


# --- one report over all ----------------------------------------------------------------------------------------------------

OVER_ALL = ("--report", "all.json", "--html", "all.html", "--failures", "all.csv")


def test_one_report_is_over_all(call, served, env, folder):
    (folder / "1.jsonl").write_text("broken\n")
    (folder / "third.jsonl").write_text("broken\nbroken too\n")
    result = call("nightly", *OVER_ALL, "--json", env=env)
    assert result.exit_code == 1
    found = json.loads((folder / "all.json").read_text())
    assert found["format"] == "amili-arm clients report 1"
    assert [(one["client_no"], one["ok"], one["exit_code"]) for one in found["clients"]] == [(1, False, 1), (2, True, 0), (3, False, 1)]
    assert [one["client_no"] for one in found["first_failures"]] == [1, 3, 3]
    assert {one["client_no"] for one in found["commands"]} == {1, 3}
    for one in found["commands"]:
        # It is about that client number, and leaves the report over all alone.
        assert f"--client-no {one['client_no']}" in one["command"]
        assert "all." not in one["command"]
    with (folder / "all.csv").open(encoding="utf-8-sig", newline="") as file:
        assert [row["client_no"] for row in csv.DictReader(file, delimiter=";")] == ["1", "3", "3"]
    printed = json.loads(result.stdout)
    assert [one["report"]["warnings"] for one in printed["clients"]] == [{"customers": {}}] * 3
    for one in printed["clients"]:
        del one["report"]["warnings"]
    assert printed == found
    ending = result.stderr.partition("all client numbers: ")[2]
    assert ending.startswith("2 of 3 client numbers did not succeed.")
    # The worst comes first.
    assert ending.index("client 3: exit code 1") < ending.index("client 1: exit code 1") < ending.index("client 2: exit code 0")
    assert "reports over all: all.json, all.html, all.csv" in " ".join(ending.split())


def test_the_page_over_all_has_a_section_for_each(call, served, env, folder):
    (folder / "third.jsonl").unlink()
    assert call("nightly", *OVER_ALL, env=env).exit_code == 2
    page = (folder / "all.html").read_text()
    assert "1 of 3 client numbers did not succeed" in page
    for number in (1, 2, 3):
        assert page.count(f'id="client-{number}"') == page.count(f'href="#client-{number}"') == 1
    ids = [piece.split('"')[0] for piece in page.split(' id="')[1:]]
    assert len(ids) == len(set(ids))
    for target in [piece.split('"')[0] for piece in page.split(' href="#')[1:]]:
        assert target in ids
    assert page.index('id="client-3"') < page.index('id="client-1"')


def test_a_report_over_all_is_read_again(call, served, env, folder):
    (folder / "1.jsonl").write_text("broken\n")
    call("nightly", *OVER_ALL, env=env)
    assert call("report", "all.json", "--html", "again.html", "--csv", "again.csv").exit_code == 0
    assert (folder / "again.html").read_text() == (folder / "all.html").read_text()
    assert (folder / "again.csv").read_text(encoding="utf-8-sig").startswith("client_no;part;")


def test_money_at_risk_is_summed_over_all(call, served, env, folder):
    record = {"documentNo": "88776655", "documentType": "IN", "customerNo": "1", "currency": "NOK", "currencyAmounts": {"inclVat": 1.1}}
    lines = [json.dumps(record), json.dumps(record | {"currency": "EUR", "documentNo": "88776656"})]
    for client in (1, 2, 3):
        (folder / f"documents.{client}.jsonl").write_text("\n".join(lines))
    for name in ("1.jsonl", "third.jsonl"):
        # The documents are those of a customer that does not exist.
        (folder / name).write_text('{"customerNo": "9", "name": "Kari"}\n')
    call("nightly", "--documents", "documents.{client_no}.jsonl", "--no-journal", "--report", "all.json", env=env)
    found = json.loads((folder / "all.json").read_text())
    each = [one for client in found["clients"] for one in client["report"]["money_at_risk"]]
    sums = {(one["state"], one["currency"]): (one["count"], one["total"]) for one in found["money_at_risk"]}
    assert len(sums) == len(found["money_at_risk"]) < len(each)
    assert sums["failed", "NOK"] == (3, "3.30")


def test_picking_one_leaves_the_report_over_all_alone(call, served, env, folder):
    settings = (folder / "amili-arm.toml").read_text().replace("report = ", 'html = "all.html"\nreport = ')
    (folder / "amili-arm.toml").write_text(settings)
    assert call("nightly", env=env).exit_code == 0
    before = (folder / "all.html").read_text()
    result = call("nightly", "--client-no", 1, "--json", env=env)
    assert result.exit_code == 0
    assert (folder / "all.html").read_text() == before
    assert "all.html" in result.stderr
    # What is picked has the report of one.
    assert json.loads(result.stdout)["client_no"] == json.loads((folder / "told.json").read_text())["client_no"] == 1


@pytest.mark.parametrize(("path", "place"), [("1.sqlite", "--state"), ("nowhere/x", "--report"), ("m.prom", "--metrics")])
def test_a_report_over_all_that_can_not_be_written_is_refused(call, served, env, folder, path, place):
    result = call("nightly", "--report", path, env=env)
    assert (result.exit_code, taken(served)) == (2, 0)
    assert place in result.stderr


# --- refused credentials ----------------------------------------------------------------------------------------------------


@posix
def test_refused_credentials_are_not_tried_for_the_others(call, served, env, folder):
    path = folder / "amili-arm.toml"
    good = f'client_id = "{env.pop("AMILI_ARM_CLIENT_ID")}"\nclient_secret = "{env.pop("AMILI_ARM_CLIENT_SECRET")}"\n'
    path.write_text('[connection]\nclient_id = "x"\nclient_secret = "y"\n' + path.read_text() + f"[clients.connection]\n{good}")
    path.chmod(0o600)
    result = call("nightly", "--report", "all.json", env=env)
    assert (result.exit_code, taken(served)) == (1, 1)
    assert "not tried, since the identity service refused the same credentials for client 1" in " ".join(result.stderr.split())
    first, second, third = json.loads((folder / "all.json").read_text())["clients"]
    assert first["report"] is not None
    assert (second["exit_code"], second["report"]) == (1, None)
    assert "for client 1" in second["error"]
    assert third["ok"]
    assert "not tried" in call("nightly", "--html", "all.html", env=env).stderr
    assert "Nothing was sent: not tried" in (folder / "all.html").read_text()


# --- signals ----------------------------------------------------------------------------------------------------------------


def left(folder: Path) -> list[tuple[int, int | None]]:
    return [(one["client_no"], one["exit_code"]) for one in json.loads((folder / "all.json").read_text())["clients"]]


@posix
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_night_of_all(start, served, env, folder, number, code):
    served.ask(lambda sandbox: sandbox.inject(Fault.hang_after(), times=None))
    process = start("nightly", "--report", "all.json", "--grace", 0, env=env, stderr=subprocess.PIPE)
    wait_until(served, lambda sandbox: sandbox.customers.total_taken == 1)
    process.send_signal(number)
    assert process.wait(WAIT) == code
    err = process.stderr.read().decode()
    assert "Traceback" not in err
    assert taken(served) == 1
    assert left(folder) == [(1, code), (2, None), (3, None)]
    assert json.loads((folder / "all.json").read_text())["not_started"] == [2, 3]
    assert "client 2: not started" in err
    assert json.loads((folder / "told.json").read_text())["outcome"] == "interrupted"


@posix
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_before_a_client_begins_ends_the_night_too(start, served, env, folder, number, code):
    # Opening the source waits for somebody who writes.
    (folder / "1.jsonl").unlink()
    os.mkfifo(folder / "1.jsonl")
    process = start("nightly", "--report", "all.json", env=env, stderr=subprocess.PIPE)
    while process.stderr.readline() != b"amili-arm: client 1\n":
        assert process.poll() is None
    process.send_signal(number)
    assert process.wait(WAIT) == code
    assert b"Traceback" not in process.stderr.read()
    assert left(folder) == [(1, code), (2, None), (3, None)]
    assert taken(served) == 0


@posix
def test_a_night_that_is_killed_leaves_what_is_known(start, served, env, folder):
    served.ask(lambda sandbox: sandbox.inject(Fault.hang_after(), path="clients/2/*", times=None))
    process = start("nightly", *OVER_ALL, env=env)
    wait_until(served, lambda sandbox: sandbox.customers.total_taken == 2)
    process.kill()
    process.wait(WAIT)
    found = json.loads((folder / "all.json").read_text())
    assert (found["ok"], found["ended"], found["not_started"]) == (False, None, [])
    assert left(folder) == [(1, 0), (2, None), (3, None)]
    page = (folder / "all.html").read_text()
    assert "This was written before the run ended" in page
    # Nobody knows whether something of it was sent.
    assert "was not started" not in page


# --- --client-no of other commands --------------------------------------------------------------------------------------------

OF_CLIENT = """
[constants.customers]
name = "Of all"

[[clients]]
client_no = 2
[clients.bulk]
max_records = 1
[clients.source]
extra_columns = true
[clients.columns.customers]
Kundenr = "customerNo"
[clients.constants.customers]
name = "Of client two"
"""


@pytest.fixture
def table(folder):
    (folder / "amili-arm.toml").write_text(OF_CLIENT)
    (folder / "customers.csv").write_text("Kundenr,ours\n7,x\n8,y\n")
    return folder


def names(call, env):
    return [json.loads(line)["name"] for line in call("pull", "customers", "--client-no", 2, env=env).stdout.splitlines()]


@pytest.mark.parametrize(
    "order", [("--client-no", 2), ("--client-no", 2, "--config", "amili-arm.toml"), ("--config", "amili-arm.toml", "--client-no", 2)]
)
@pytest.mark.parametrize("command", [("push", "customers", "--no-journal"), ("sync", "--state", "s.sqlite")])
def test_client_no_has_the_settings_of_that_client(call, served, env, table, command, order):
    result = call(*command, "customers.csv", *order, "--json", env=env)
    assert result.exit_code == 0, result.output
    assert names(call, env) == ["Of client two"] * 2
    assert json.loads(result.stdout)["batches"] == 2
    # Without it, the columns are others.
    assert call(*command, "customers.csv", env=served.env).exit_code != 0


def test_check_has_the_settings_of_a_client(call, table):
    assert call("check", "customers", "customers.csv", "--client-no", 2).exit_code == 0
    assert call("check", "customers", "customers.csv").exit_code != 0


def test_an_option_overrides_the_settings_of_a_client(call, served, env, table):
    result = call(
        "push", "customers", "customers.csv", "--no-journal", "--client-no", 2, "--max-records", 5, "--set", "name=Given", "--json", env=env
    )
    assert json.loads(result.stdout)["batches"] == 1
    assert set(names(call, env)) == {"Given"}


def test_the_client_number_of_the_environment_has_its_settings(call, served, env, table):
    env["AMILI_ARM_CLIENT_NO"] = "2"
    assert call("push", "customers", "customers.csv", "--no-journal", env=env).exit_code == 0


def test_replay_reconcile_and_status_of_a_client(call, served, env, folder):
    (folder / "amili-arm.toml").write_text("[bulk]\nmax_records = 5\n[[clients]]\nclient_no = 2\n[clients.bulk]\nmax_records = 1\n")
    records = [{"documentNo": str(number), "documentType": "IN", "customerNo": "1"} for number in (1, 2)]
    (folder / "documents.jsonl").write_text("\n".join(map(json.dumps, records)))
    push = (
        "push",
        "documents",
        "documents.jsonl",
        "--journal",
        "j.sqlite",
        "--run-id",
        "a",
        "--client-no",
        2,
        "--dead-letter",
        "dead.jsonl",
    )
    assert call("push", "customers", "1.jsonl", "--no-journal", "--client-no", 2, env=env).exit_code == 0
    served.ask(lambda sandbox: sandbox.inject(Fault.status(400), times=2))
    assert call(*push, env=env).exit_code == 1
    result = call("replay", "dead.jsonl", "--client-no", 2, "--json", env=env)
    assert result.exit_code == 0, result.output
    assert result.stderr.count('"event":"batch"') == 2
    assert call("reconcile", "j.sqlite", "--client-no", 2, env=env).exit_code == 0
    assert [len(json.loads(call("status", "j.sqlite", "--client-no", number, "--json").stdout)["runs"]) for number in (2, 3)] == [1, 0]
