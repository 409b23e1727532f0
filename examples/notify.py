#!/usr/bin/env python3
"""Tells people how a run ended: `amili-arm nightly ... --on-end "python3 notify.py slack --failures-only"`.

It reads the report from standard input, and needs nothing but Python. What is secret comes from the environment, or from a file that the
variable with _FILE at its end names (`SLACK_WEBHOOK_URL_FILE=/run/credentials/...`): every user of a machine can see arguments.

slack      SLACK_WEBHOOK_URL
teams      TEAMS_WEBHOOK_URL (of a workflow "When a Teams webhook request is received")
pagerduty  PAGERDUTY_ROUTING_KEY (Events API v2); a success resolves the incident
opsgenie   OPSGENIE_API_KEY, OPSGENIE_URL (default: https://api.opsgenie.com); a success closes the alert
mail       MAIL_TO, MAIL_FROM, SMTP_HOST (default: localhost), SMTP_PORT (default: 25)
"""

from __future__ import annotations

import argparse
import json
import os
import smtplib
import socket
import sys
import urllib.error
import urllib.parse
import urllib.request
from email.message import EmailMessage
from pathlib import Path
from typing import Any

SECONDS = 20
"""Less than --on-end gives the command."""


def setting(name: str, default: str | None = None) -> str:
    """Returns a variable, or the content of the file that it names with _FILE at its end."""
    if path := os.environ.get(f"{name}_FILE"):
        return Path(path).read_text("utf-8").strip()
    value = os.environ.get(name, default)
    if value is None:
        raise SystemExit(f"notify.py: set {name} or {name}_FILE")
    return value


def post(url: str, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
    """Sends JSON. An address may be a secret, so it is in no message."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json", **(headers or {})})
    try:
        with urllib.request.urlopen(request, timeout=SECONDS):
            pass
    except urllib.error.HTTPError as exc:
        raise SystemExit(f"notify.py: the service answered {exc.code} {exc.reason}") from None
    except OSError as exc:
        raise SystemExit(f"notify.py: the service can't be reached: {getattr(exc, 'reason', exc)}") from None


def details(report: dict[str, Any]) -> list[str]:
    """Returns why records failed, the most frequent reasons first; no line holds a key or personal data."""
    lines = []
    for client in report.get("clients") or [report]:
        report_of = client.get("report") or client
        for part in report_of.get("parts") or [report_of]:
            for reason in (part.get("reasons") or [])[:5]:
                where = " ".join(str(word) for word in (client.get("client_no"), part.get("name")) if word)
                lines.append(f"{where + ': ' if where else ''}{reason['count']} {reason['state']} ({reason['reason']})")
    return lines


def slack(report: dict[str, Any]) -> None:
    """Posts a message to the webhook."""
    text = "\n".join([report["summary"], *details(report)])
    post(setting("SLACK_WEBHOOK_URL"), {"text": text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")})


def teams(report: dict[str, Any]) -> None:
    """Posts an adaptive card to the workflow."""
    blocks = [{"type": "TextBlock", "text": line, "wrap": True} for line in (report["summary"], *details(report))]
    schema = "http://adaptivecards.io/schemas/adaptive-card.json"
    card = {"$schema": schema, "type": "AdaptiveCard", "version": "1.4", "body": blocks}
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    post(setting("TEAMS_WEBHOOK_URL"), {"type": "message", "attachments": [attachment]})


def pagerduty(report: dict[str, Any]) -> None:
    """Triggers an incident, or resolves it."""
    payload = {
        "summary": report["summary"][:1024],
        "source": socket.gethostname(),
        "severity": "error",
        "custom_details": {"outcome": report["outcome"], "exit_code": report["exit_code"], "reasons": details(report)},
    }
    event = {
        "routing_key": setting("PAGERDUTY_ROUTING_KEY"),
        "event_action": "resolve" if report["outcome"] == "ok" else "trigger",
        "dedup_key": f"amili-arm-{report['command']}",
        "payload": payload,
    }
    post(setting("PAGERDUTY_URL", "https://events.pagerduty.com/v2/enqueue"), event)


def opsgenie(report: dict[str, Any]) -> None:
    """Creates an alert, or closes it."""
    base, alias = setting("OPSGENIE_URL", "https://api.opsgenie.com").rstrip("/"), f"amili-arm-{report['command']}"
    headers = {"Authorization": f"GenieKey {setting('OPSGENIE_API_KEY')}"}
    if report["outcome"] == "ok":
        post(f"{base}/v2/alerts/{urllib.parse.quote(alias)}/close?identifierType=alias", {"note": report["summary"]}, headers)
    else:
        text = "\n".join([report["summary"], *details(report)])
        post(f"{base}/v2/alerts", {"message": report["summary"][:130], "alias": alias, "description": text, "priority": "P2"}, headers)


def mail(report: dict[str, Any]) -> None:
    """Sends a mail."""
    message = EmailMessage()
    message["Subject"] = f"amili-arm {report['command']} on {socket.gethostname()}: {report['outcome']}"
    message["From"], message["To"] = setting("MAIL_FROM"), setting("MAIL_TO")
    message.set_content("\n".join([report["summary"], *details(report), ""]))
    try:
        with smtplib.SMTP(setting("SMTP_HOST", "localhost"), int(setting("SMTP_PORT", "25")), timeout=SECONDS) as server:
            server.send_message(message)
    except (OSError, smtplib.SMTPException) as exc:
        raise SystemExit(f"notify.py: the mail was not sent: {type(exc).__name__}") from None


TARGETS = {"slack": slack, "teams": teams, "pagerduty": pagerduty, "opsgenie": opsgenie, "mail": mail}


def main() -> None:
    """Reads the report, and tells it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--failures-only", action="store_true", help="say nothing after a success")
    given = parser.parse_args()
    report = json.load(sys.stdin)
    if report["outcome"] != "ok" or not given.failures_only:
        TARGETS[given.target](report)


if __name__ == "__main__":
    main()
