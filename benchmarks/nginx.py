"""nginx as the sink. A plain `return 202` answers before the body is there and throws it away; so each request goes through
`proxy_pass`, which reads the whole body into memory first, to a second server block, which gets the request without it and answers.
"""

import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .server import ACCEPTED, PROCESSED

CONFIGURATION = """
daemon off;
{user}
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr crit;
events {{ worker_connections 1024; }}
http {{
    log_format length "$request_length";
    client_max_body_size 0;
    client_body_buffer_size 64m;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 100000000;
    keepalive_timeout 1h;
    sendfile on;
    default_type application/json;
    map $arg_pageno $page {{ "" 1; default $arg_pageno; }}
    upstream answer {{ server unix:{folder}/answer; keepalive 64; keepalive_requests 100000000; }}
    server {{
        listen unix:{folder}/answer;
        access_log off;
        location / {{
            if ($request_method = GET) {{ return 200 '{processed}'; }}
            return 202 '{accepted}';
        }}
    }}
    server {{
        listen 127.0.0.1:{port} {tls};
        access_log {folder}/lengths length;
        root {folder};
        location / {{
            proxy_pass http://answer;
            proxy_http_version 1.1;
            proxy_pass_request_body off;
            proxy_set_header Content-Length "";
            proxy_set_header Connection "";
        }}
        location ~ /customers$ {{ try_files /page-$page.json =404; }}
        location ~ /customers/[0-9]+$ {{ try_files /customer.json =404; }}
    }}
}}
"""


def find() -> str | None:
    """Where nginx is, or None."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


def version() -> str:
    """Name and version of nginx."""
    told = subprocess.run([find() or "nginx", "-v"], check=True, capture_output=True, text=True).stderr
    return told.strip().rpartition(" ")[2].replace("/", " ")


@contextmanager
def nginx(folder: Path, certificate: Path | None) -> Iterator[int]:
    """The port of an nginx in a process of its own. What it reads, head and body of each request, is in the file `lengths` afterwards."""
    tls = f"ssl; ssl_certificate {certificate}; ssl_certificate_key {certificate}" if certificate is not None else ""
    path = folder / "nginx.conf"
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        port = listener.getsockname()[1]
        accepted = ACCEPTED.format("$request_id")
        # Where root runs this, the worker would be nobody, who may not read the folder.
        user = f"user {pwd.getpwuid(0).pw_name};" if os.geteuid() == 0 else ""
        path.write_text(CONFIGURATION.format(folder=folder, user=user, port=port, tls=tls, accepted=accepted, processed=PROCESSED))
        # nginx takes over the socket that listens already: no free port has to be guessed, and nobody has to wait until it is up.
        command, inherited = [str(find()), "-c", str(path), "-p", str(folder)], listener.fileno()
        process = subprocess.Popen(command, pass_fds=[inherited], env=os.environ | {"NGINX": f"{inherited};"}, stderr=subprocess.DEVNULL)
    try:
        yield port
    finally:
        process.terminate()
        process.wait()
