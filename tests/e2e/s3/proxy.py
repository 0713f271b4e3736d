"""An HTTP proxy in front of an S3 server: writes down each request, and fails those that a test asks for."""

import http.client
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

STALL = "stall"
"""The request is read and never answered."""
CUT = "cut"
"""The request is done; its answer ends half-way, or does not come at all if it has no body."""


def refusal(status, code):
    """A fault: the answer that an S3 server gives with this status."""
    body = f"<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>not now</Message></Error>"
    return status, body.encode()


class Request:
    """One request as it was on the wire."""

    def __init__(self, method, path, bucket):
        parts = urlsplit(path)
        self.method, self.path, self.query = method, parts.path, parse_qs(parts.query, keep_blank_values=True)
        self.is_list = method == "GET" and parts.path.strip("/") == bucket
        self.begins_upload = method == "POST" and "uploads" in self.query

    def __repr__(self):
        return f"{self.method} {self.path} {sorted(self.query)}"


class Proxy(ThreadingHTTPServer):
    """Listens on a free port. `fault(request)` gives the fault of a request, or None."""

    daemon_threads = True

    def __init__(self, upstream, bucket):
        super().__init__(("127.0.0.1", 0), Handler)
        self.upstream, self.bucket = upstream, bucket
        self.lock, self.requests = threading.Lock(), []
        self.changed = threading.Condition(self.lock)
        self.stopped = threading.Event()
        self.fault = lambda request: None
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def address(self):
        return "%s:%d" % self.server_address

    def note(self, request):
        with self.changed:
            self.requests.append(request)
            self.changed.notify_all()

    def seen(self, chosen=lambda request: True):
        with self.lock:
            return [request for request in self.requests if chosen(request)]

    def wait_for(self, chosen, more_than=0, seconds=30):
        """Waits until more than so many requests of this kind were seen."""
        with self.changed:
            done = self.changed.wait_for(lambda: sum(map(chosen, self.requests)) > more_than, seconds)
        assert done, f"no such request within {seconds} s; the last ones: {self.seen()[-10:]}"

    def close(self):
        self.stopped.set()
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def serve(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = Request(self.command, self.path, self.server.bucket)
        fault = self.server.fault(request)
        self.server.note(request)
        if fault == STALL:
            self.server.stopped.wait()
            self.close_connection = True
            return
        if isinstance(fault, tuple):
            status, text = fault
            self.answer(status, {"Content-Type": "application/xml", "Content-Length": str(len(text))}, text)
            return
        upstream = http.client.HTTPConnection(self.server.upstream, timeout=60)
        try:
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in ("connection", "expect"):
                    upstream.putheader(name, value)
            upstream.endheaders(body)
            answer = upstream.getresponse()
            text = answer.read()
        finally:
            upstream.close()
        headers = {name: value for name, value in answer.getheaders()
                   if name.lower() not in ("connection", "transfer-encoding", "date", "server")}
        if self.command != "HEAD":
            headers["Content-Length"] = str(len(text))
        if fault == CUT:
            if text:
                self.answer(answer.status, headers, text[: len(text) // 2])
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.answer(answer.status, headers, text)

    def answer(self, status, headers, body):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = serve

    def handle(self):
        try:
            super().handle()
        except (ConnectionError, http.client.HTTPException):
            pass  # the client has gone, or the server behind

    def log_message(self, *arguments):
        pass
