"""Calling a web address: only one that may be called, within a time, and with sentences for what goes wrong."""

import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from jobs import JobFailed
from jobs.builtin._files import say
from jobs.builtin._network import Allowed, BlockedError
from jobs.durations import format_duration

if TYPE_CHECKING:
    import httpx

BODY_LIMIT = 1_000_000  # bytes of the answer that are read, shown and searched

_MASK = "********"
_SHOWN_HEADERS = ("content-type", "content-length", "location", "retry-after", "server")
_TEXT_TYPES = re.compile(
    r"text/|application/([\w.+-]*\+)?(json|xml|yaml|javascript|x-www-form-urlencoded|x-ndjson|graphql)\b"
)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2: what the name of a header may consist of
_USER_INFO = re.compile(r"(//)[^/?#\s]*@")
_CODES = re.compile(r"([1-5]\d\d)(?:\s*-\s*([1-5]\d\d))?")


def status_codes(text: str) -> set[int]:
    """Return the codes that "200-299, 304" names; ValueError when it is no such list."""
    codes: set[int] = set()
    for part in text.split(","):
        found = _CODES.fullmatch(part.strip())
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if first > last:
            raise ValueError(
                f'{part.strip()!r} is no status code and no range of them; write it such as "200-299, 304"'
            )
        codes.update(range(first, last + 1))
    return codes


def masked(text: str) -> str:
    """Return *text* with the user and password of every address in it replaced."""
    return _USER_INFO.sub(rf"\1{_MASK}@", text)


def check_address(url: str) -> None:
    try:
        parts = urlsplit(url)
        complete = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # brackets that do not match, a port that is no number
        complete = False
    if not complete or re.search(r"[\s\x00-\x1f\x7f]", url):
        raise ValueError("a web address is needed, such as https://example.com/path; only http and https are called")


def check_headers(headers: dict[str, str]) -> None:
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name):
            raise ValueError(f"{name!r} cannot be the name of a header; write it such as X-Token")
        if re.search(r"[\r\n]", value):
            raise ValueError(
                f"the value of {name} holds a line break, which would begin another header; write it in one line"
            )


class Call(NamedTuple):
    url: str
    method: str
    headers: dict[str, str]
    body: bytes
    timeout: timedelta
    follow_redirects: bool = True
    verify_tls: bool = True
    authority: Path | None = None  # a file of certificates that are trusted beside the system's
    certificate: Path | None = None  # a file with the caller's own certificate and key
    user: tuple[str, str] | None = None  # name and password


class Answer(NamedTuple):
    url: str  # after redirects
    status: int
    status_line: str
    headers: list[tuple[str, str]]
    body: bytes
    encoding: str
    is_text: bool
    is_whole: bool
    seconds: float

    @property
    def text(self) -> str:
        return self.body.decode(self.encoding, "replace")


def answer_in_time(call: Call) -> Answer:
    """Return the answer; JobFailed when there is none, or none in time.

    In a thread that is left behind when the time is over: httpx's time-outs are for each read, so that a server that
    sends a byte now and then would hold the run for ever, and looking up a name has none at all.
    """
    outcome: list[Answer | Exception] = []

    def ask() -> None:
        try:
            outcome.append(_ask(call))
        except Exception as error:  # noqa: BLE001 - judged by the thread that waits
            outcome.append(error)

    thread = threading.Thread(target=ask, name="call", daemon=True)
    thread.start()
    thread.join(call.timeout.total_seconds())
    result = outcome[0] if outcome else TimeoutError()
    if isinstance(result, Exception):
        if isinstance(result, JobFailed):
            raise result
        reason = _reason(result, call.timeout)
        if reason is None:
            raise result
        raise JobFailed(f"cannot call {masked(call.url)}: {masked(reason)}") from result
    return result


def _ask(call: Call) -> Answer:
    import httpx  # noqa: PLC0415 - 100 ms that reading the list of jobs must not cost

    from jobs.builtin._web_transport import CheckedTransport  # noqa: PLC0415 - imports httpx

    started = time.monotonic()
    allowed = Allowed.lent()
    tls = _tls(call)
    # What the environment says of proxies holds only where every address may be called: a proxy looks names up itself.
    transport = None if allowed.everything else CheckedTransport(allowed, tls)
    headers = [(name.encode(), value.encode()) for name, value in call.headers.items()]
    with (
        httpx.Client(
            verify=tls,
            transport=transport,
            follow_redirects=call.follow_redirects,
            timeout=call.timeout.total_seconds(),
            auth=call.user,
        ) as client,
        client.stream(call.method, call.url, headers=headers, content=call.body or None) as response,
    ):
        body, is_whole = _first_bytes(response)
        return Answer(
            url=str(response.url),
            status=response.status_code,
            status_line=f"{response.http_version} {response.status_code} {response.reason_phrase}".strip(),
            headers=[(name, response.headers[name]) for name in _SHOWN_HEADERS if name in response.headers],
            body=body,
            encoding=_encoding(response),
            is_text=_is_text(response.headers.get("content-type", ""), body),
            is_whole=is_whole,
            seconds=time.monotonic() - started,
        )


def _tls(call: Call) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not call.verify_tls:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    try:
        if call.authority is not None:
            context.load_verify_locations(call.authority)
        if call.certificate is not None:
            # Without the callback OpenSSL would ask on a terminal, and wait for ever.
            context.load_cert_chain(call.certificate, password=lambda: b"")
    except (ssl.SSLError, OSError) as error:
        file = call.certificate if call.certificate is not None else call.authority
        why = error.strerror if isinstance(error, FileNotFoundError | PermissionError) else "it is no PEM file of that"
        raise JobFailed(f"cannot use the certificates of {file}: {why}") from error
    return context


def _first_bytes(response: "httpx.Response") -> tuple[bytes, bool]:
    body = bytearray()
    for chunk in response.iter_bytes():
        body += chunk
        if len(body) > BODY_LIMIT:
            return bytes(body[:BODY_LIMIT]), False
    return bytes(body), True


def _encoding(response: "httpx.Response") -> str:
    try:
        "".encode(response.charset_encoding or "utf-8")
    except LookupError:  # a name that the server invented
        return "utf-8"
    return response.charset_encoding or "utf-8"


def _is_text(content_type: str, body: bytes) -> bool:
    if content_type:
        return bool(_TEXT_TYPES.match(content_type.lower())) or "charset=" in content_type.lower()
    return b"\0" not in body


def show(answer: Answer) -> None:
    say(f"{answer.status_line} (after {answer.seconds:.3f} s)")
    for name, value in answer.headers:
        say(f"{name.title()}: {masked(value)}")
    if not answer.body:
        return
    size = f"{len(answer.body):,} bytes" if answer.is_whole else f"more than {BODY_LIMIT:,} bytes"
    if not answer.is_text:
        say(f"(the body is not text: {size}, not shown)")
        return
    say(f"\n{answer.text}")
    if not answer.is_whole:
        say(f"(the body has {size}; the rest was not read)")


def failures(answer: Answer, accepted: str, must_contain: str, must_not_contain: str) -> Iterator[str]:
    where = "" if answer.is_whole else f" in its first {BODY_LIMIT:,} bytes"
    if answer.status not in status_codes(accepted):
        yield f"answered with status {answer.status}; {accepted} would be a success"
    if must_contain and must_contain not in answer.text:
        yield f"answered without the text {must_contain!r}{where}"
    if must_not_contain and must_not_contain in answer.text:
        yield f"answered with the text {must_not_contain!r}, which must not be there"


def _reason(error: Exception, timeout: timedelta) -> str | None:  # noqa: C901, PLR0911 - a table, in code
    """Return why there was no answer, for people; None when it is this module's own mistake."""
    import httpx  # noqa: PLC0415 - as above

    causes = list(_chain(error))

    def caused_by(*types: Any) -> BaseException | None:
        return next((cause for cause in causes if isinstance(cause, types)), None)

    if blocked := caused_by(BlockedError):
        return str(blocked)
    if caused_by(TimeoutError, httpx.TimeoutException):
        return f"no complete answer within {format_duration(timeout)} (time-out)"
    if caused_by(socket.gaierror):
        return "the name of the server cannot be found; check its spelling and this machine's network"
    if tls := caused_by(ssl.SSLError):
        return f"no secure connection (TLS): {getattr(tls, 'verify_message', '') or getattr(tls, 'reason', '') or tls}"
    if caused_by(ConnectionRefusedError):
        return "the connection was refused; nothing listens there: check the port and that the server runs"
    if isinstance(error, httpx.TooManyRedirects):
        return "it redirects again and again; correct the address or switch off following redirects"
    if isinstance(error, httpx.UnsupportedProtocol):
        return "it redirects to an address that is neither http nor https"
    if isinstance(error, httpx.InvalidURL):
        return f"this is no valid address ({error})"
    if isinstance(error, httpx.HTTPError):
        return f"the connection failed: {error}"
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
