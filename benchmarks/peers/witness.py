"""A server that keeps what it is sent: whether all peers do the same work is looked at before it is measured."""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from .rounds import RECORDS, USER_ID

_ANSWER = b'{"status":"NOT-PROCESSED","result":"PENDING","message":"Batch accepted for processing","batchUuid":"8NlwdOIM1YLVFP9-WOwkYQ"}'


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    bodies: list[bytes]

    def do_POST(self) -> None:
        self.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(202)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(_ANSWER)))
        self.end_headers()
        self.wfile.write(_ANSWER)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@contextmanager
def witness() -> Iterator[tuple[str, list[bytes]]]:
    """An address to send to, and the bodies that came."""
    bodies: list[bytes] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"bodies": bodies}))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/arm/v1", bodies
    finally:
        server.shutdown()
        server.server_close()


def same(bodies: list[bytes], records: Sequence[dict[str, Any]]) -> bool:
    """Whether these bodies are these records, each once, in batches of the same size."""
    batches = [json.loads(body) for body in bodies]
    expected = [records[start : start + RECORDS] for start in range(0, len(records), RECORDS)]
    came = sorted((batch.pop("customers") for batch in batches), key=lambda customers: int(customers[0]["customerNo"]))
    return came == expected and all(batch == {"metadata": {"userId": USER_ID}} for batch in batches)
