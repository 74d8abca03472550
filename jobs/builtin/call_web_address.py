"""The built-in job that calls a web address and judges the answer."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from jobs import Check, JobFailed, Label, Lines, SecretText, job
from jobs.builtin._files import say
from jobs.builtin._web import Call, answer_in_time, check_address, check_headers, failures, masked, show, status_codes


@job(title="Call a web address", group="Web")
def call_web_address(
    url: Annotated[str, Label("Address"), Check(check_address)],
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"] = "GET",
    headers: Annotated[dict[str, str], Check(check_headers)] = {},  # noqa: B006 - only a form's default; every call passes its own
    body: Annotated[str, Lines()] = "",
    accepted_status_codes: Annotated[str, Check(status_codes)] = "200-299",
    timeout: Annotated[timedelta, Label("Time-out")] = timedelta(seconds=30),
    follow_redirects: bool = True,
    user: str = "",
    password: SecretText | None = None,
    token: Annotated[SecretText | None, Label("Bearer token")] = None,
    must_contain: str = "",
    must_not_contain: str = "",
    verify_tls: Annotated[bool, Label("Check the TLS certificate")] = True,
    authority: Annotated[Path | None, Label("Certificate authority")] = None,
    certificate: Annotated[Path | None, Label("Own certificate")] = None,
) -> None:
    """Send a request to a web address, and fail when the answer is not the expected one.

    Prints the status, the time it took, some headers, and the body when it is text. Addresses that are not public, and
    the scheduler's own, are called only when the configuration allows them (allowed_addresses).

    Args:
        url: Such as https://example.com/health
        headers: Sent in addition to the usual ones.
        body: Sent as UTF-8 text. Say what it is with a Content-Type header.
        accepted_status_codes: Codes and ranges that mean success, such as 200-299, 304
        timeout: For the whole call, from looking up the name to the last byte of the answer.
        follow_redirects: Go on to where the server sends the caller.
        user: For a server that asks for a name and a password (HTTP Basic).
        token: Sent as "Authorization: Bearer …".
        must_contain: Fail unless this text is in the answer (in its first megabyte).
        must_not_contain: Fail if this text is in the answer (in its first megabyte).
        verify_tls: Switch off only for a server of your own with a certificate that nobody has signed.
        authority: A PEM file of certificates that are trusted beside the system's.
        certificate: A PEM file with the certificate and key that the server knows the caller by.
    """
    if token is not None:
        headers = {**headers, "Authorization": f"Bearer {token.get_secret_value()}"}
    call = Call(
        url,
        method,
        headers,
        body.encode(),
        timeout,
        follow_redirects,
        verify_tls,
        authority,
        certificate,
        (user, password.get_secret_value() if password else "") if user else None,
    )
    say(f"{method} {masked(url)}")
    answer = answer_in_time(call)
    show(answer)
    found = list(failures(answer, accepted_status_codes, must_contain, must_not_contain))
    if found:
        raise JobFailed("\n".join(f"{masked(url)} {failure}" for failure in found))
