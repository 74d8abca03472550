"""The built-in job that sends an e-mail, by the server that the configuration names under [mail]."""

import mimetypes
import re
import smtplib
import socket
import ssl
import sys
from collections.abc import Iterator
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, getaddresses, make_msgid, parseaddr
from pathlib import Path
from typing import Annotated

from jobs import Check, JobFailed, Label, Lines, job, lent

ATTACHMENT_LIMIT = 25_000_000  # bytes in all; many servers refuse more
TIMEOUT = 60.0  # seconds for each answer of the server

_PORTS = {"none": 25, "starttls": 587, "tls": 465}
_ADDRESS = re.compile(r"[^@\s<>\"(),:;]+@[^@\s<>\"(),:;]+")


def _check_one_line(text: str) -> None:
    if re.search(r"[\r\n]", text):
        raise ValueError("it holds a line break, which would begin another header; write it in one line")


def _check_address(text: str) -> None:
    if not text:
        return
    _check_one_line(text)
    addresses = getaddresses([text])
    if len(addresses) != 1 or not _ADDRESS.fullmatch(addresses[0][1]):
        raise ValueError('an e-mail address is needed, such as me@example.org or "Ada Lovelace <ada@example.org>"')


def _check_addresses(addresses: list[str]) -> None:
    for address in addresses:
        try:
            _check_address(address)
        except ValueError as error:
            raise ValueError(f"{address!r}: {error}") from None


@job(title="Send an e-mail", group="Web", permission="jobs.run_command")
def send_email(
    to: Annotated[list[str], Check(_check_addresses)],
    subject: Annotated[str, Check(_check_one_line)],
    text: Annotated[str, Lines()] = "",
    html: Annotated[str, Lines(), Label("HTML")] = "",
    attachments: list[Path] = [],  # noqa: B006 - only a form's default; every call passes its own
    cc: Annotated[list[str], Check(_check_addresses), Label("Copy to")] = [],  # noqa: B006 - as above
    bcc: Annotated[list[str], Check(_check_addresses), Label("Hidden copy to")] = [],  # noqa: B006 - as above
    reply_to: Annotated[str, Check(_check_address)] = "",
    sender: Annotated[str, Check(_check_address)] = "",
) -> None:
    """Send an e-mail, with attachments if there are any.

    The server and its password are in the configuration, under [mail].

    Args:
        to: E-mail addresses, such as me@example.org or Ada Lovelace <ada@example.org>
        text: The message as plain text.
        html: The same message as HTML, for those who see that.
        attachments: Files that go along, up to 25 MB in all.
        bcc: They get the e-mail, and nobody sees that.
        reply_to: Where answers go. Empty: to the sender.
        sender: Empty: the one of the configuration.
    """
    if not lent.settings.get("host"):
        raise JobFailed('cannot send an e-mail: no server is configured; set host = "…" under [mail] in scheduler.toml')
    if not [*to, *cc, *bcc]:
        raise JobFailed("cannot send an e-mail to nobody: fill in to, cc or bcc")
    message = EmailMessage(policy=SMTP)
    message["From"] = sender or _configured_sender()
    message["Subject"] = subject
    for header, addresses in (("To", to), ("Cc", cc), ("Reply-To", [reply_to] if reply_to else [])):
        if addresses:
            message[header] = ", ".join(addresses)
    message["Date"] = formatdate(localtime=True)
    message["Message-ID"] = make_msgid(domain=parseaddr(message["From"])[1].rpartition("@")[2])
    message.set_content(text)
    if html:
        message.add_alternative(html, subtype="html")
    for name, content in _contents(attachments):
        main, _, sub = (mimetypes.guess_type(name)[0] or "application/octet-stream").partition("/")
        message.add_attachment(content, maintype=main, subtype=sub, filename=name)
    _send(message, [address for _, address in getaddresses([*to, *cc, *bcc])])


def _configured_sender() -> str:
    sender = lent.settings.get("sender") or lent.settings.get("user") or ""
    if not _ADDRESS.fullmatch(parseaddr(sender)[1]):
        raise JobFailed(
            'cannot send an e-mail without a sender: give one here, or set sender = "…" under [mail] in scheduler.toml'
        )
    return str(sender)


def _contents(files: list[Path]) -> Iterator[tuple[str, bytes]]:
    left = ATTACHMENT_LIMIT
    for file in files:
        try:
            with file.open("rb") as opened:
                content = opened.read(left + 1)
        except OSError as error:
            raise JobFailed(f"cannot attach {file}: {error.strerror}; nothing was sent") from error
        left -= len(content)
        if left < 0:
            raise JobFailed(
                f"cannot attach {file}: the attachments are larger than {ATTACHMENT_LIMIT // 1_000_000} MB; send a "
                "link instead, nothing was sent"
            )
        yield file.name, content


def _send(message: EmailMessage, recipients: list[str]) -> None:
    host, security = lent.settings["host"], lent.settings["security"]
    port = lent.settings["port"] or _PORTS[security]
    server = f"{host}, port {port}"
    try:
        with _connected(host, port, security) as connection:
            if lent.settings["user"] and lent.settings["password"]:
                connection.login(lent.settings["user"], lent.settings["password"])
            refused = connection.send_message(message, to_addrs=recipients)
    except (OSError, smtplib.SMTPException) as error:  # SMTPException is an OSError today; its documentation says so
        raise JobFailed(f"cannot send the e-mail by {server}: {_reason(error)}") from error
    if refused:
        raise JobFailed(f"the e-mail went to the others, but {server} refused {_refusals(refused)}")
    sys.stdout.write(f"sent to {', '.join(recipients)} by {server}\n")


def _connected(host: str, port: int, security: str) -> smtplib.SMTP:
    if security == "tls":
        return smtplib.SMTP_SSL(host, port, timeout=TIMEOUT, context=ssl.create_default_context())
    connection = smtplib.SMTP(host, port, timeout=TIMEOUT)
    if security == "starttls":
        try:
            connection.starttls(context=ssl.create_default_context())
        except BaseException:
            connection.close()
            raise
    return connection


def _reason(error: Exception) -> str:  # noqa: PLR0911 - a table, in code
    match error:
        case smtplib.SMTPRecipientsRefused():
            return f"it refused {_refusals(error.recipients)}"
        case smtplib.SMTPSenderRefused():
            return f"it refused the sender {error.sender} ({error.smtp_code} {_words(error.smtp_error)})"
        case smtplib.SMTPAuthenticationError():
            said = _words(error.smtp_error)
            return f"it refused the user and password of [mail] ({error.smtp_code} {said}); correct them"
        case smtplib.SMTPNotSupportedError():
            return f'{error}; set another security under [mail], or use an address in plain letters ("a" to "z")'
        case smtplib.SMTPResponseException():
            return f"it answered {error.smtp_code} {_words(error.smtp_error)}"
        case ssl.SSLError():
            why = getattr(error, "verify_message", "") or error.reason or error
            return f"no secure connection (TLS): {why}; check host, port and security under [mail]"
        case socket.gaierror():
            return "the name cannot be found; check host under [mail]"
        case ConnectionRefusedError():
            return "nothing listens there; check host and port under [mail]"
        case TimeoutError():
            return f"no answer within {TIMEOUT:g} s; check host, port and security under [mail]"
        case _:
            return f"the connection failed: {error}"


def _refusals(refused: dict[str, tuple[int, bytes]]) -> str:
    return ", ".join(f"{address} ({code} {_words(said)})" for address, (code, said) in refused.items())


def _words(said: bytes | str) -> str:
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    return " ".join(text.split())
