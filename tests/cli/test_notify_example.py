"""`examples/notify.py` tells services on this machine what it would tell the real ones; the commands of the page do too."""

from __future__ import annotations

import json
import re
import shutil
import socketserver
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from .conftest import ROOT

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a shell of POSIX")

SCRIPT = f"{sys.executable} {ROOT / 'examples' / 'notify.py'}"


class Service:
    """Keeps each request: path, headers, body."""

    def __init__(self, status=200):
        requests = self.requests = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                requests.append((self.path, dict(self.headers), body))
                self.send_response(status)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


class Mails(socketserver.StreamRequestHandler):
    """Takes one mail."""

    def handle(self):
        self.wfile.write(b"220 hello\r\n")
        while line := self.rfile.readline():
            if line.upper().startswith(b"DATA"):
                self.wfile.write(b"354 go on\r\n")
                self.server.mail = b"".join(iter(self.rfile.readline, b".\r\n")).decode()
            self.wfile.write(b"221 bye\r\n" if line.upper().startswith(b"QUIT") else b"250 OK\r\n")


@pytest.fixture
def serve_in_thread():
    started = []

    def begin(server):
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        started.append((server, thread))
        return server

    yield begin
    for server, thread in started:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def service(serve_in_thread):
    made = Service()
    serve_in_thread(made.server)
    return made


@pytest.fixture
def push(call, served, tmp_path):
    """Pushes a file that is good or bad."""

    def run(command, *, good=False, **env):
        path = tmp_path / "customers.jsonl"
        path.write_text('{"customerNo": "1", "name": "Kari"}\n' + ("" if good else "<broken>\n"))
        return call("push", "customers", path, "--on-end", command, env={**served.env, **env})

    return run


SUMMARY = "amili-arm push (client 2218): failed, exit code 1; 1 succeeded, 1 invalid"


def test_slack(push, service):
    push(f"{SCRIPT} slack", SLACK_WEBHOOK_URL=f"{service.url}/services/T/B/x")
    push(f"{SCRIPT} slack --failures-only", good=True, SLACK_WEBHOOK_URL=service.url)
    ((path, headers, body),) = service.requests
    assert (path, headers["Content-Type"]) == ("/services/T/B/x", "application/json")
    assert body == {"text": f"{SUMMARY}\n1 invalid (not_json)"}


def test_teams(push, service, tmp_path):
    (tmp_path / "url").write_text(f"{service.url}/workflows\n")
    push(f"{SCRIPT} teams", TEAMS_WEBHOOK_URL_FILE=str(tmp_path / "url"))
    ((_, _, body),) = service.requests
    (attachment,) = body["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    assert [block["text"] for block in attachment["content"]["body"]] == [SUMMARY, "1 invalid (not_json)"]


def test_pagerduty(push, service):
    env = {"PAGERDUTY_URL": f"{service.url}/v2/enqueue", "PAGERDUTY_ROUTING_KEY": "r" * 32}
    push(f"{SCRIPT} pagerduty", **env)
    push(f"{SCRIPT} pagerduty", good=True, **env)
    bodies = [body for _, _, body in service.requests]
    assert [body["event_action"] for body in bodies] == ["trigger", "resolve"]
    assert {body["dedup_key"] for body in bodies} == {"amili-arm-push"}
    assert bodies[0]["payload"]["summary"] == SUMMARY


def test_opsgenie(push, service):
    env = {"OPSGENIE_URL": service.url, "OPSGENIE_API_KEY": "key"}
    push(f"{SCRIPT} opsgenie", **env)
    push(f"{SCRIPT} opsgenie", good=True, **env)
    (path, headers, body), (closed, _, _) = service.requests
    assert (path, headers["Authorization"], body["message"]) == ("/v2/alerts", "GenieKey key", SUMMARY)
    assert closed == "/v2/alerts/amili-arm-push/close?identifierType=alias"


def test_mail(push, serve_in_thread):
    server = serve_in_thread(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Mails))
    port = str(server.server_address[1])
    push(f"{SCRIPT} mail", MAIL_TO="a@example.com", MAIL_FROM="b@example.com", SMTP_HOST="127.0.0.1", SMTP_PORT=port)
    assert "To: a@example.com" in server.mail
    assert SUMMARY in re.sub(r"=\r\n", "", server.mail)


def test_a_service_that_refuses_changes_nothing(call, served, start, serve_in_thread, tmp_path):
    service = Service(status=403)
    serve_in_thread(service.server)
    path = tmp_path / "customers.jsonl"
    path.write_text('{"customerNo": "1", "name": "Kari"}\n')
    env = {**served.env, "SLACK_WEBHOOK_URL": f"{service.url}/secret"}
    process = start("push", "customers", path, "--on-end", f"{SCRIPT} slack", env=env)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert b"notify.py: the service answered 403" in err
    assert b"secret" not in err


def commands_of_the_page():
    text = (ROOT / "docs" / "notification.md").read_text("utf-8")
    return re.findall(r"^on_end = '''\n?(.*?)'''$", text, re.MULTILINE | re.DOTALL)


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("jq")), reason="without curl and jq")
def test_the_curl_of_the_page(push, service):
    (command,) = (command for command in commands_of_the_page() if "curl" in command)
    result = push(command, SLACK_WEBHOOK_URL=service.url)
    assert "--on-end" not in result.output
    ((_, _, body),) = service.requests
    assert body == {"text": SUMMARY}
    push(command, good=True, SLACK_WEBHOOK_URL=service.url)
    assert len(service.requests) == 1


def test_the_mail_of_the_page(push, tmp_path, monkeypatch):
    (command,) = (command for command in commands_of_the_page() if "mail " in command)
    program = tmp_path / "bin" / "mail"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@" > "$MAILED"\ncat >> "$MAILED"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    push(command, MAILED=str(tmp_path / "mailed"))
    assert SUMMARY in (tmp_path / "mailed").read_text()
    assert "billing@example.com" in (tmp_path / "mailed").read_text()
