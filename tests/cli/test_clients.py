"""One night of several client numbers: `[[clients]]` in the settings file."""

from __future__ import annotations

import json

import pytest

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
    assert [(one["client_no"], one["ok"], one["parts"][0]["read"]) for one in told["clients"]] == [(1, True, 1), (2, True, 1), (3, True, 1)]
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


@pytest.mark.parametrize("option", ["--state", "--report", "--html", "--failures", "--dead-letter-customers"])
def test_two_with_one_file_are_refused(call, served, env, folder, option):
    result = call("nightly", option, "same", env=env)
    assert (result.exit_code, taken(served)) == (2, 0)
    assert f"{option} of client 1 (same)" in " ".join(result.stderr.split())
    assert call("nightly", option, "same", "--client-no", 1, env=env).exit_code == 0


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
    (folder / "documents.jsonl").write_text(json.dumps(record) + "\n")
    settings = SETTINGS.replace("[nightly]\n", '[nightly]\ndocuments = "documents.jsonl"\njournal = "journal.sqlite"\n', 1)
    (folder / "amili-arm.toml").write_text(settings.partition("[[clients]]\nclient_no = 2")[0] + "[[clients]]\nclient_no = 3\n")
    (folder / "3.jsonl").write_text((folder / "1.jsonl").read_text())
    for sent in (2, 2):
        # Again with the same run id: nothing is sent twice, for neither.
        result = call("nightly", "--run-id", "a", env=env)
        assert result.exit_code == 0, result.output
        assert served.ask(lambda sandbox: sandbox.documents.total_taken) == sent
