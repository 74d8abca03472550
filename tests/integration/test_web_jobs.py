"""The built-in jobs that call web addresses and web hooks, with real web servers on this machine."""

import gzip
import hmac
import io
import json
import socket
import ssl
import threading
import time
from contextlib import contextmanager, redirect_stdout
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import trustme

from jobs.builtin._network import Allowed, BlockedError
from jobs.discovery import discover, find
from jobs.errors import ParameterError
from tests.children import call_job, run_job

LIMIT = 30
LENT = {"allowed": ["127.0.0.1", "localhost", "no-such-host.invalid"], "own_ports": []}


def run(job, lent=LENT, /, **parameters):
    """Return (exit code, what it printed, the sentence of its failure)."""
    out = io.StringIO()
    with redirect_stdout(out):
        failure = call_job(job, lent, **parameters)
    return int(failure != ""), out.getvalue().encode(), failure


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

    def _go(self):
        self.answer(b"", 302, Location=self.server.leads_to)

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
def serving(host="127.0.0.1", tls=None):
    server = Server((host, 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
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


def call(server, path, lent=LENT, /, **parameters):
    server.requests.clear()
    return run("call_web_address", lent, url=f"http://127.0.0.1:{server.server_address[1]}/{path}", **parameters)


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


def test_in_a_process_of_its_own_nothing_is_called_that_was_not_allowed(server):
    address = {"url": f"http://127.0.0.1:{server.server_address[1]}/fine"}
    assert "127.0.0.1 is not a public address" in run_job("call_web_address", address)[2]
    assert run_job("call_web_address", address, lent=LENT)[0] == 0


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.8.9.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254"),
        *("224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fd00::1", "ff02::1", "::ffff:127.0.0.1"),
        *("::ffff:a9fe:a9fe", "64:ff9b::7f00:1", "2002:7f00:1::", "2130706433", "0x7f.1", "0"),
    ],
)
def test_addresses_that_are_not_public_are_blocked_however_they_are_written(address):
    with pytest.raises(BlockedError, match=r'to allow it, set allowed_addresses = \["'):
        Allowed((), frozenset()).addresses(address, 80)


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700:4700::1111", "64:ff9b::101:101"])
def test_public_addresses_may_be_called(address):
    assert Allowed((), frozenset()).addresses(address, 80) == [address]


@pytest.mark.parametrize(
    ("entry", "host", "port", "fits"),
    [
        ("192.168.0.0/16", "192.168.3.4", 80, True),
        ("192.168.0.0/16", "192.169.3.4", 80, True),  # public anyway
        ("192.168.0.0/24", "192.168.3.4", 80, False),
        ("192.168.3.4:8080", "192.168.3.4", 8080, True),
        ("192.168.3.4:8080", "192.168.3.4", 80, False),
        ("fd00::/8", "fd12::1", 80, True),
        ("[::1]:8080", "::1", 8080, True),
        ("[::1]:8080", "::1", 80, False),
        ("::1", "::1", 80, True),
        ("localhost", "localhost", 80, True),
        ("LOCALHOST.", "localhost", 80, True),
        ("localhost", "127.0.0.1", 80, False),
    ],
)
def test_the_configuration_allows_addresses_networks_and_names_with_or_without_a_port(entry, host, port, fits):
    allowed = Allowed((entry,), frozenset())
    if fits:
        assert allowed.addresses(host, port)
    else:
        with pytest.raises(BlockedError):
            allowed.addresses(host, port)


def test_the_schedulers_own_ports_are_blocked_until_the_very_port_is_allowed(server):
    port = server.server_address[1]
    lent = {"allowed": ["127.0.0.0/8"], "own_ports": [port]}
    code, _, error = call(server, "fine", lent)
    assert (code, server.requests) == (1, [])
    assert f'belongs to the scheduler itself; to allow it, set allowed_addresses = ["127.0.0.1:{port}"]' in error
    assert call(server, "fine", lent | {"allowed": [f"127.0.0.1:{port}"]})[0] == 0


def test_a_redirect_to_a_blocked_address_is_not_followed(server):
    with serving("127.0.0.2") as inner:
        server.leads_to = f"http://127.0.0.2:{inner.server_address[1]}/fine"
        code, _, error = call(server, "go")
        assert (code, inner.requests) == (1, [])
        assert "127.0.0.2 is not a public address" in error
        assert call(server, "go", LENT | {"allowed": ["127.0.0.0/8"]})[0] == 0
        assert len(inner.requests) == 1


def test_a_name_that_changes_its_address_after_the_check_leads_nowhere_else(server, monkeypatch):
    port = server.server_address[1]
    answers = iter(["127.0.0.1"])
    real = socket.getaddrinfo

    def rebinding(host, *arguments, **options):
        return real(next(answers, "127.0.0.2") if host == "rebind.example" else host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    with serving("127.0.0.2") as inner:
        server.requests.clear()
        url = f"http://rebind.example:{port}/fine"
        assert run("call_web_address", url=url)[0] == 0
        assert (len(server.requests), inner.requests) == (1, [])
        assert server.requests[0][2]["Host"] == f"rebind.example:{port}"
        code, _, error = run("call_web_address", url=url)
        assert (code, "rebind.example is 127.0.0.2, and that is not a public address" in error) == (1, True)


def test_the_next_address_of_a_name_is_tried_when_one_does_not_answer(server, monkeypatch):
    port = server.server_address[1]
    real = socket.getaddrinfo

    def both(host, *arguments, **options):
        hosts = ["127.0.0.3", "127.0.0.1"] if host == "two.example" else [host]
        return [info for each in hosts for info in real(each, *arguments, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", both)
    lent = LENT | {"allowed": ["127.0.0.0/8"]}
    assert run("call_web_address", lent, url=f"http://two.example:{port}/fine", method="POST", body="again")[0] == 0
    assert server.requests[-1][3] == b"again"


def test_a_user_with_password_or_a_token_is_sent_and_not_printed(server):
    for given, header in (
        ({"user": "me", "password": "hidden"}, "Basic bWU6aGlkZGVu"),
        ({"token": "hidden"}, "Bearer hidden"),
    ):
        code, out, error = call(server, "fine", **given)
        assert (code, server.requests[0][2]["Authorization"]) == (0, header)
        assert "hidden" not in out.decode() + error


def test_a_token_does_not_go_to_another_server(server):
    with serving() as other:
        server.leads_to = f"http://localhost:{other.server_address[1]}/fine"
        assert call(server, "go", token="hidden")[0] == 0
        assert "Authorization" in server.requests[0][2]
        assert "Authorization" not in other.requests[0][2]


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


def test_tls_is_checked_against_the_name_an_authority_can_be_added_and_the_caller_can_show_a_certificate(
    authority, tmp_path
):
    ca, own = tmp_path / "ca.pem", tmp_path / "own.pem"
    authority.cert_pem.write_to_path(str(ca))
    authority.issue_cert("me@example.org").private_key_and_cert_chain_pem.write_to_path(str(own))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    with serving(tls=context) as secure:
        port = secure.server_address[1]
        named, numbered = f"https://localhost:{port}/fine", f"https://127.0.0.1:{port}/fine"
        ours = {"authority": str(ca), "certificate": str(own)}
        assert run("call_web_address", url=named, **ours)[0] == 0
        assert "no secure connection (TLS)" in run("call_web_address", url=named, certificate=str(own))[2]
        assert "no secure connection (TLS)" in run("call_web_address", url=numbered, **ours)[2]
        assert run("call_web_address", url=numbered, certificate=str(own), verify_tls=False)[0] == 0
        assert run("call_web_address", url=named, authority=str(ca))[0] == 1
        for wrong, says in (
            (tmp_path / "absent", "No such file or directory"),
            (tmp_path, "cannot use the certificates"),
        ):
            assert says in run("call_web_address", url=named, authority=str(wrong))[2]


# Call a web hook


def test_a_web_hook_gets_signed_json(server):
    url = f"http://127.0.0.1:{server.server_address[1]}/fine"
    server.requests.clear()
    assert run("call_webhook", url=url, content='{"größe": 1}', secret="s3cret", headers={"X-Mine": "1"})[0] == 0
    ((method, _, headers, body),) = server.requests
    assert (method, headers["Content-Type"], headers["X-Mine"]) == ("POST", "application/json", "1")
    assert json.loads(body) == {"größe": 1}
    expected = hmac.new(b"s3cret", body, "sha256").hexdigest()
    assert headers["X-Hub-Signature-256"] == f"sha256={expected}"


def test_a_web_hook_gets_the_run_when_nothing_else_is_said(server):
    url = {"url": f"http://127.0.0.1:{server.server_address[1]}/fine"}
    server.requests.clear()
    environment = {"SCHEDULER_RUN_ID": "7", "SCHEDULER_SCHEDULE": "nightly", "SCHEDULER_ATTEMPT": "1"}
    assert run_job("call_webhook", url, lent=LENT, environment=environment)[0] == 0
    assert json.loads(server.requests[0][3]) == {"run": "7", "schedule": "nightly", "fire_time": "", "attempt": "1"}
    assert "X-Hub-Signature-256" not in server.requests[0][2]


def test_a_web_hook_that_is_refused_redirected_or_no_json_is_a_failure(server):
    address = f"http://127.0.0.1:{server.server_address[1]}"
    assert "answered with status 418" in run("call_webhook", url=f"{address}/teapot")[2]
    assert "answered with status 302" in run("call_webhook", url=f"{address}/moved")[2]
    assert "is not a public address" in run("call_webhook", {}, url=f"{address}/fine")[2]
    with pytest.raises(ParameterError, match="it is no JSON"):
        find("call_webhook", None).validate({"url": address, "content": "{"})
