"""The built-in job that calls a web address and judges the answer."""

import re
import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple
from urllib.parse import urlsplit

from jobs import Check, JobFailed, Label, Lines, job
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


def _check_address(url: str) -> None:
    try:
        parts = urlsplit(url)
        complete = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # brackets that do not match, a port that is no number
        complete = False
    if not complete or re.search(r"[\s\x00-\x1f\x7f]", url):
        raise ValueError("a web address is needed, such as https://example.com/path; only http and https are called")


def _check_headers(headers: dict[str, str]) -> None:
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name):
            raise ValueError(f"{name!r} cannot be the name of a header; write it such as X-Token")
        if re.search(r"[\r\n]", value):
            raise ValueError(
                f"the value of {name} holds a line break, which would begin another header; write it in one line"
            )


@job(title="Call a web address", group="Web")
def call_web_address(
    url: Annotated[str, Label("Address"), Check(_check_address)],
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"] = "GET",
    headers: Annotated[dict[str, str], Check(_check_headers)] = {},  # noqa: B006 - only a form's default; every call passes its own
    body: Annotated[str, Lines()] = "",
    accepted_status_codes: Annotated[str, Check(status_codes)] = "200-299",
    timeout: Annotated[timedelta, Label("Time-out")] = timedelta(seconds=30),
    follow_redirects: bool = True,
    must_contain: str = "",
    must_not_contain: str = "",
    verify_tls: Annotated[bool, Label("Check the TLS certificate")] = True,
) -> None:
    """Send a request to a web address, and fail when the answer is not the expected one.

    Prints the status, the time it took, some headers, and the body when it is text.

    Args:
        url: Such as https://example.com/health
        headers: Sent in addition to the usual ones.
        body: Sent as UTF-8 text. Say what it is with a Content-Type header.
        accepted_status_codes: Codes and ranges that mean success, such as 200-299, 304
        timeout: For the whole call, from looking up the name to the last byte of the answer.
        follow_redirects: Go on to where the server sends the caller.
        must_contain: Fail unless this text is in the answer (in its first megabyte).
        must_not_contain: Fail if this text is in the answer (in its first megabyte).
        verify_tls: Switch off only for a server of your own with a certificate that nobody has signed.
    """
    call = _Call(url, method, headers, body, timeout, follow_redirects, verify_tls)
    _say(f"{method} {masked(url)}")
    answer = _answer_in_time(call)
    _print(answer)
    failures = list(_failures(answer, accepted_status_codes, must_contain, must_not_contain))
    if failures:
        raise JobFailed("\n".join(f"{masked(url)} {failure}" for failure in failures))


class _Call(NamedTuple):
    url: str
    method: str
    headers: dict[str, str]
    body: str
    timeout: timedelta
    follow_redirects: bool
    verify_tls: bool


class _Answer(NamedTuple):
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


def _answer_in_time(call: _Call) -> _Answer:
    """Return the answer; JobFailed when there is none, or none in time.

    In a thread that is left behind when the time is over: httpx's time-outs are for each read, so that a server that
    sends a byte now and then would hold the run for ever, and looking up a name has none at all.
    """
    outcome: list[_Answer | Exception] = []

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
        reason = _reason(result, call.timeout)
        if reason is None:
            raise result
        raise JobFailed(f"cannot call {masked(call.url)}: {masked(reason)}") from result
    return result


def _ask(call: _Call) -> _Answer:
    import httpx  # noqa: PLC0415 - 100 ms that reading the list of jobs must not cost

    started = time.monotonic()
    headers = [(name.encode(), value.encode()) for name, value in call.headers.items()]
    with (
        httpx.Client(
            verify=call.verify_tls, follow_redirects=call.follow_redirects, timeout=call.timeout.total_seconds()
        ) as client,
        client.stream(call.method, call.url, headers=headers, content=call.body.encode() or None) as response,
    ):
        body, is_whole = _first_bytes(response)
        return _Answer(
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


def _print(answer: _Answer) -> None:
    _say(f"{answer.status_line} (after {answer.seconds:.3f} s)")
    for name, value in answer.headers:
        _say(f"{name.title()}: {masked(value)}")
    if not answer.body:
        return
    size = f"{len(answer.body):,} bytes" if answer.is_whole else f"more than {BODY_LIMIT:,} bytes"
    if not answer.is_text:
        _say(f"(the body is not text: {size}, not shown)")
        return
    _say(f"\n{answer.text}")
    if not answer.is_whole:
        _say(f"(the body has {size}; the rest was not read)")


def _failures(answer: _Answer, accepted: str, must_contain: str, must_not_contain: str) -> Iterator[str]:
    where = "" if answer.is_whole else f" in its first {BODY_LIMIT:,} bytes"
    if answer.status not in status_codes(accepted):
        yield f"answered with status {answer.status}; {accepted} would be a success"
    if must_contain and must_contain not in answer.text:
        yield f"answered without the text {must_contain!r}{where}"
    if must_not_contain and must_not_contain in answer.text:
        yield f"answered with the text {must_not_contain!r}, which must not be there"


def _reason(error: Exception, timeout: timedelta) -> str | None:  # noqa: PLR0911 - a table, in code
    """Return why there was no answer, for people; None when it is this module's own mistake."""
    import httpx  # noqa: PLC0415 - as above

    causes = list(_chain(error))

    def caused_by(*types: Any) -> BaseException | None:
        return next((cause for cause in causes if isinstance(cause, types)), None)

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


def _say(line: str) -> None:
    sys.stdout.write(line if line.endswith("\n") else f"{line}\n")
