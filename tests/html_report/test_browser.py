"""The page in a real browser, headless Chromium, where one is installed: what it shows, runs and asks for."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from amili_arm_async.cli.html_report.clients_page import render_clients_page
from amili_arm_async.cli.html_report.page import render_page

from ..support import report_samples as samples

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium, chromium-browser or google-chrome is installed")

# Looks at the page in a frame of the same origin, as wide as is asked, and says in its own title what it saw.
HARNESS = """<!DOCTYPE html><meta charset="utf-8"><link rel="icon" href="data:,"><title>not ready</title>
<iframe src="/page" style="width:WIDTHpx;height:900px;border:0"></iframe><script>
addEventListener("load", () => {
  const { contentWindow: view, contentDocument: page } = document.querySelector("iframe");
  const wide = page.documentElement;
  const all = [...page.body.querySelectorAll("*")].filter((one) => !one.closest(".scroll, svg, .skip, .counts thead"));
  const before = page.querySelectorAll("details.group[open]").length;
  view.dispatchEvent(new Event("beforeprint"));
  const printed = page.querySelectorAll("details.group[open]").length;
  view.dispatchEvent(new Event("afterprint"));
  document.title = JSON.stringify({
    width: wide.clientWidth, needed: wide.scrollWidth,
    outside: all.filter((one) => one.getBoundingClientRect().right > wide.clientWidth + 1).map((one) => one.outerHTML.slice(0, 80)),
    resources: view.performance.getEntriesByType("resource").map((entry) => entry.name),
    ground: view.getComputedStyle(page.body).backgroundColor,
    open: [before, printed, page.querySelectorAll("details.group[open]").length],
    small: Math.min(...[...page.querySelectorAll(".chart text")].map((one) => one.getBoundingClientRect().height)),
  });
});
</script>"""


class Served:
    """Pages on this machine, and every path that was asked for."""

    def __init__(self) -> None:
        self.pages: dict[str, str] = {}
        self.asked: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                body = outer.pages.get(self.path, "").encode()
                self.send_response(200 if body else 404)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def served() -> Iterator[Served]:
    running = Served()
    try:
        yield running
    finally:
        running.close()


@pytest.fixture
def browse(served, tmp_path) -> Callable[..., tuple[str, str]]:
    """Opens a path and gives the page as the browser has it then, and what it logged."""

    def run(path: str, *more: str) -> tuple[str, str]:
        assert BROWSER is not None
        command = [
            *(BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"),
            *("--hide-scrollbars", "--disable-dev-shm-usage", f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr", *more),
            *("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--virtual-time-budget=5000", "--dump-dom"),
        ]
        home = {**os.environ, "HOME": str(tmp_path)}
        done = subprocess.run([*command, served.address + path], capture_output=True, timeout=120, env=home, check=True)
        return done.stdout.decode(), done.stderr.decode("utf-8", "replace")

    return run


def complaints(log: str) -> list[str]:
    """What the console of the page got: errors of scripts, and what the policy forbade."""
    return [line for line in log.splitlines() if "CONSOLE" in line]


def hostile(address: str) -> dict[str, Any]:
    """A night whose keys try to load and run something of the server that watches."""
    value = samples.troubled()
    keys = [key.replace("http://example.invalid", address) for key in samples.HOSTILE]
    keys += [f"<link rel=stylesheet href={address}/css>", f"<iframe src={address}/frame>", f"<svg onload=fetch('{address}/svg')>"]
    value["parts"][0]["reasons"].append(samples.reason("invalid", "</title><script>document.title=1</script>", len(keys), keys))
    return value


def test_the_page_asks_for_nothing_and_runs_without_error(served, browse) -> None:
    served.pages["/page"] = render_page(samples.read(hostile(served.address)))
    shown, log = browse("/page")
    assert served.asked == ["/page"]
    assert complaints(log) == []
    assert "1\u202f212 of 400\u202f000 records did not succeed." in shown
    assert "&lt;script&gt;fetch('" in shown
    assert shown.count("<script") == 1
    assert 'id="injected"' not in shown
    for tag in ("<img", "<iframe", "<svg onload", "<h1 id"):
        assert tag not in shown
    assert "<title>1\u202f212 of 400\u202f000 records did not succeed (2026-11-21)</title>" in shown


def test_the_policy_holds_even_where_markup_got_in(served, browse) -> None:
    """Nothing escapes here; the second line of defence must stand alone. It also proves that this test sees requests and errors."""
    evil = f"<img src='{served.address}/evil.png'><script>fetch('{served.address}/evil')</script>"
    page = render_page(samples.read(samples.quiet()))
    served.pages["/page"] = page.replace("<main", evil + "<main", 1)
    _, log = browse("/page")
    assert served.asked == ["/page"]
    assert len(complaints(log)) >= 2
    served.pages["/open"] = re.sub("<meta http-equiv=[^>]*>", "", served.pages["/page"])
    browse("/open")
    assert {"/evil.png", "/evil"} <= set(served.asked)


@pytest.mark.parametrize("width", [390, 1280])
def test_a_page_of_several_clients_fits(served, browse, width) -> None:
    served.pages["/page"] = render_clients_page(samples.of_clients())
    served.pages["/"] = HARNESS.replace("WIDTH", str(width))
    shown, log = browse("/")
    assert complaints(log) == []
    title = re.search("<title>(.*?)</title>", shown, re.DOTALL)
    assert title is not None
    seen = json.loads(title[1].replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">"))
    assert seen["outside"] == []
    assert seen["needed"] == seen["width"] == width


@pytest.mark.parametrize("make", [samples.troubled, samples.quiet, samples.document], ids=lambda make: make.__name__)
@pytest.mark.parametrize(("width", "dark"), [(360, False), (1200, True)])
def test_it_fits_a_telephone_and_the_dark(served, browse, make, width, dark) -> None:
    served.pages["/page"] = render_page(samples.read(make()))
    served.pages["/"] = HARNESS.replace("WIDTH", str(width))
    shown, log = browse("/", f"--blink-settings=preferredColorScheme={0 if dark else 1}")
    assert complaints(log) == []
    title = re.search("<title>(.*?)</title>", shown, re.DOTALL)
    assert title is not None
    seen = json.loads(title[1].replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">"))
    assert seen["outside"] == []
    assert seen["needed"] == seen["width"] == width
    assert seen["resources"] == []
    assert seen["ground"] == ("rgb(22, 24, 27)" if dark else "rgb(251, 250, 246)")
    groups = sum(len(part["reasons"]) for part in make()["parts"])
    before, printed, after = seen["open"]
    assert printed == groups
    assert before == after
    assert make is not samples.troubled or (before < groups and seen["small"] > 9)
