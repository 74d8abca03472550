"""The built-in job that calls a web address, with a real web server on this machine."""

import gzip
import socket
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from jobs.discovery import discover
from jobs.errors import ParameterError
from tests.children import run_job

LIMIT = 30


def run(job, **parameters):
    return run_job(job, parameters)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        size = int(self.headers.get("Content-Length", 0))
        self.server.requests.append((self.command, self.path, dict(self.headers), self.rfile.read(size)))
        getattr(self, f"_{self.path.strip('/').split('?')[0]}")()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_GET  # noqa: N815 - the names that http.server looks for

    def log_message(self, *args): ...

    def answer(self, body=b"all is well", status=200, **headers):
        self.send_response(status)
        for name, value in (
            {"Content_Type": "text/plain; charset=utf-8", "Content_Length": len(body)} | headers
        ).items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _fine(self):
        self.answer("größe".encode())

    def _teapot(self):
        self.answer(b"short and stout", 418)

    def _moved(self):
        host, port = self.server.server_address
        self.answer(b"", 302, Location=f"http://me:hidden@{host}:{port}/fine")

    def _loop(self):
        self.answer(b"", 302, Location="/loop")

    def _elsewhere(self):
        self.answer(b"", 302, Location="ftp://127.0.0.1/")

    def _binary(self):
        self.answer(b"\x89PNG\0", Content_Type="image/png")

    def _zipped(self):
        self.answer(gzip.compress(b"unpacked"), Content_Encoding="gzip")

    def _huge(self):
        self.answer(b"x" * 3_000_000)

    def _drip(self):
        self.send_response(200)
        while not self.server.over.wait(0.05):
            try:
                self.wfile.write(b"X-Drip: 1\r\n")
                self.wfile.flush()
            except OSError:
                return

    def _hangup(self):
        self.close_connection = True


class Server(ThreadingHTTPServer):
    def handle_error(self, request, client_address): ...  # a caller that hangs up is what these tests do


@contextmanager
def serving():
    server = Server(("127.0.0.1", 0), Handler)
    server.requests, server.over = [], threading.Event()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        thread.join(LIMIT)
        server.server_close()


@pytest.fixture(scope="module")
def server():
    with serving() as it:
        yield it


def call(server, path, **parameters):
    server.requests.clear()
    return run("call_web_address", url=f"http://127.0.0.1:{server.server_address[1]}/{path}", **parameters)


def test_status_headers_and_text_are_printed(server):
    code, out, error = call(server, "fine")
    lines = out.decode().splitlines()
    assert (code, error) == (0, "")
    assert lines[0].startswith("GET http://127.0.0.1:")
    assert lines[1].startswith("HTTP/1.1 200 OK (after 0.")
    assert "Content-Type: text/plain; charset=utf-8" in lines
    assert lines[-1] == "größe"


def test_method_headers_and_body_are_sent(server):
    assert call(server, "fine", method="POST", headers={"X-Token": "schlüssel"}, body="größe\n2")[0] == 0
    ((method, _, headers, body),) = server.requests
    assert (method, body.decode()) == ("POST", "größe\n2")
    assert headers["X-Token"].encode("latin-1").decode() == "schlüssel"


@pytest.mark.parametrize(
    ("path", "parameters", "sentence"),
    [
        pytest.param("teapot", {}, "answered with status 418; 200-299 would be a success", id="status"),
        pytest.param("moved", {"follow_redirects": False}, "answered with status 302", id="redirect not followed"),
        pytest.param("fine", {"must_contain": "klein"}, "answered without the text 'klein'", id="missing text"),
        pytest.param("fine", {"must_not_contain": "größe"}, "answered with the text 'größe'", id="forbidden text"),
        pytest.param("loop", {}, "it redirects again and again", id="endless redirects"),
        pytest.param("elsewhere", {}, "neither http nor https", id="redirect to ftp"),
        pytest.param("drip", {"timeout": "1s"}, "no complete answer within 1s (time-out)", id="a byte now and then"),
        pytest.param("hangup", {}, "the connection failed", id="hang-up"),
    ],
)
def test_an_answer_that_is_not_the_expected_one_is_a_failure_with_a_sentence(server, path, parameters, sentence):
    code, _, error = call(server, path, **parameters)
    assert code == 1
    assert sentence in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("path", "parameters", "printed"),
    [
        pytest.param("teapot", {"accepted_status_codes": "200-299, 418"}, b"short and stout", id="accepted status"),
        pytest.param("fine", {"must_contain": "größe"}, "größe".encode(), id="expected text"),
        pytest.param("fine", {"method": "HEAD"}, b"200 OK", id="HEAD"),
        pytest.param("binary", {}, b"(the body is not text: 5 bytes, not shown)", id="binary"),
        pytest.param("zipped", {}, b"unpacked", id="compressed"),
        pytest.param("huge", {}, b"(the body has more than 1,000,000 bytes; the rest was not read)", id="huge"),
    ],
)
def test_an_expected_answer_is_a_success_and_shown(server, path, parameters, printed):
    code, out, error = call(server, path, **parameters)
    assert (code, error) == (0, "")
    assert printed in out
    assert len(out) < 1_010_000


def test_a_server_that_sends_a_byte_now_and_then_does_not_hold_the_run(server):
    begun = time.monotonic()
    assert call(server, "drip", timeout="1s")[0] == 1
    assert time.monotonic() - begun < 8


def test_several_failures_are_told_at_once(server):
    error = call(server, "teapot", must_contain="tea", must_not_contain="stout")[2]
    assert [line.split(" answered ")[1][:15] for line in error.splitlines()] == [
        "with status 418",
        "without the tex",
        "with the text '",
    ]


def test_a_password_in_an_address_is_sent_and_never_printed(server):
    port = server.server_address[1]
    for path in ("teapot", "moved"):
        server.requests.clear()
        code, out, error = run(
            "call_web_address", url=f"http://me:hidden@127.0.0.1:{port}/{path}", must_contain="absent"
        )
        assert code == 1
        assert server.requests[0][2]["Authorization"].startswith("Basic ")
        assert "hidden" not in out.decode() + error
        assert "//********@" in out.decode()


def test_a_refused_connection_a_wrong_name_and_a_broken_tls_have_sentences_of_their_own(server):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    for url, sentence in [
        (f"http://127.0.0.1:{port}/", "the connection was refused"),
        ("http://no-such-host.invalid/", "the name of the server cannot be found"),
        (f"https://127.0.0.1:{server.server_address[1]}/", "no secure connection (TLS)"),
    ]:
        code, _, error = run("call_web_address", url=url)
        assert (code, sentence in error, "Traceback" in error) == (1, True, False), error


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        pytest.param({"url": "ftp://x/"}, "url", id="other scheme"),
        pytest.param({"url": "file:///etc/passwd"}, "url", id="file"),
        pytest.param({"url": "x.com"}, "url", id="no scheme"),
        pytest.param({"url": "http://"}, "url", id="no host"),
        pytest.param({"url": "http://x:99999/"}, "url", id="port"),
        pytest.param({"url": "http://x/\r\nX: y"}, "url", id="line break in the address"),
        pytest.param({"headers": {"X-A": "1\r\nX-B: 2"}}, "headers", id="line break in a header"),
        pytest.param({"headers": {"X A": "1"}}, "headers", id="name of a header"),
        pytest.param({"accepted_status_codes": "fine"}, "accepted_status_codes", id="status code"),
        pytest.param({"accepted_status_codes": "299-200"}, "accepted_status_codes", id="range"),
        pytest.param({"method": "BREW"}, "method", id="method"),
    ],
)
def test_what_cannot_be_called_is_refused_when_it_is_saved(parameters, name):
    with pytest.raises(ParameterError) as refused:
        discover(None)["call_web_address"].validate({"url": "http://x/"} | parameters)
    assert list(refused.value.problems) == [name]
