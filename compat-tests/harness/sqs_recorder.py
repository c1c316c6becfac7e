"""A recording proxy in front of SQS: what a client asked, whichever of SQS' two protocols it speaks."""

from __future__ import annotations

import http.client
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

from harness.sqs_server import ACCOUNT, SQSServer

__all__ = ["SQSRecorder"]

_NUMBER = re.compile(r"-?[0-9]+\Z")


class SQSRecorder:
    """Listens on 127.0.0.1 and passes everything on; ``requests`` are (action, parameters), numbers as numbers."""

    def __init__(self, sqs: SQSServer) -> None:
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self._target = sqs.port
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                recorder._pass_on(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), name="sqs-recorder", daemon=True
        )
        self._thread.start()
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        self.url = f"{self.endpoint}/{ACCOUNT}"

    def stop(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def _pass_on(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        self.requests.append(_read(handler.headers.get("X-Amz-Target", ""), body))
        connection = http.client.HTTPConnection("127.0.0.1", self._target, timeout=30)
        try:
            headers = {name: value for name, value in handler.headers.items() if name.lower() != "connection"}
            connection.request("POST", handler.path, body, headers)
            answer = connection.getresponse()
            told = answer.read()
        except (OSError, http.client.HTTPException):
            # The server has been stopped while somebody waited for a message.
            handler.close_connection = True
            return
        finally:
            connection.close()
        handler.send_response(answer.status)
        for name in ("Content-Type", "x-amzn-requestid"):
            if name in answer.headers:
                handler.send_header(name, answer.headers[name])
        handler.send_header("Content-Length", str(len(told)))
        handler.end_headers()
        handler.wfile.write(told)


def _read(target: str, body: bytes) -> tuple[str, dict[str, Any]]:
    """JSON names the action in a header, the older query protocol among its parameters, and lists as ``Name.1``."""
    if target:
        return target.rpartition(".")[2], json.loads(body)
    told: dict[str, Any] = {}
    for name, value in parse_qsl(body.decode(), keep_blank_values=True):
        base, dot, _ = name.partition(".")
        if dot:
            told.setdefault(f"{base}s", []).append(value)
        else:
            told[name] = int(value) if _NUMBER.match(value) else value
    del told["Version"]
    return told.pop("Action"), told
