"""The built-in job that sends e-mails, with a real SMTP server on this machine."""

import email
import logging
import socket
import ssl
from email.policy import default
from types import SimpleNamespace

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from jobs.discovery import find
from jobs.errors import ParameterError
from tests.children import call_job

# aiosmtpd's, about a server that takes passwords without TLS: what a relay on one's own machine does.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")

PASSWORD = "s3cret of the server"
MAIL = {"to": ["ada@example.org"], "subject": "The backup", "text": "It went well."}


class Mailbox:
    def __init__(self):
        self.mails = []

    async def handle_RCPT(self, _server, _session, envelope, address, _options):  # noqa: N802 - aiosmtpd's name for it
        if address.startswith("nobody@"):
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server, _session, envelope):  # noqa: N802 - as above
        if b"the unwanted word" in envelope.content:
            return "554 this is spam"
        message = email.message_from_bytes(envelope.content, policy=default)
        self.mails.append(SimpleNamespace(sender=envelope.mail_from, to=envelope.rcpt_tos, message=message))
        return "250 OK"


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def server(authority, tmp_path, monkeypatch):
    """Start a server by its security; what it lends the job is what the configuration would."""
    logging.getLogger("mail.log").setLevel(logging.WARNING)
    running = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))

    def authenticate(_server, _session, _envelope, _mechanism, given):
        right = (given.login, given.password) == (b"me", PASSWORD.encode())
        return AuthResult(success=right, handled=False)

    def start(security="none", **options):
        box = Mailbox()
        tls = {
            "none": {},
            "starttls": {"tls_context": context, "require_starttls": True},
            "tls": {"ssl_context": context},
        }
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        controller = Controller(
            box,
            hostname="localhost",
            port=port,
            authenticator=authenticate,
            auth_require_tls=False,
            **tls[security],
            **options,
        )
        controller.start()
        running.append(controller)
        box.lent = {
            "host": "localhost",
            "port": port,
            "security": security,
            "user": None,
            "password": None,
            "sender": "me@example.org",
        }
        return box

    yield start
    for controller in running:
        controller.stop()


def test_a_mail_with_everything_arrives_as_it_was_meant(server, tmp_path, capsys):
    box = server()
    (tmp_path / "größe.csv").write_bytes(b"a;b\n1;2\n")
    (tmp_path / "unknown").write_bytes(b"\x00\xff")
    failure = call_job(
        "send_email",
        box.lent,
        to=["Ada Lovelace <ada@example.org>", "bob@example.org"],
        subject="Größe & Maß " * 12,
        text="Schöne Grüße\n.\nEnde",
        html="<b>Schöne Grüße</b>",
        attachments=[str(tmp_path / "größe.csv"), str(tmp_path / "unknown")],
        cc=["carl@example.org"],
        bcc=["hidden@example.org"],
        reply_to="answers@example.org",
        sender="Backups <backups@example.org>",
    )
    assert failure == ""
    ((mail,),) = (box.mails,)
    message = mail.message
    assert mail.sender == "backups@example.org"
    assert mail.to == ["ada@example.org", "bob@example.org", "carl@example.org", "hidden@example.org"]
    assert str(message["Subject"]).strip() == ("Größe & Maß " * 12).strip()
    assert message["To"].addresses[0].display_name == "Ada Lovelace"
    assert (message["Cc"], message["Reply-To"], message["Bcc"]) == ("carl@example.org", "answers@example.org", None)
    assert message.get_body(("plain",)).get_content() == "Schöne Grüße\r\n.\r\nEnde\r\n"
    assert message.get_body(("html",)).get_content() == "<b>Schöne Grüße</b>\r\n"
    assert [(part.get_filename(), part.get_content_type()) for part in message.iter_attachments()] == [
        ("größe.csv", "text/csv"),
        ("unknown", "application/octet-stream"),
    ]
    assert [part.get_payload(decode=True) for part in message.iter_attachments()] == [b"a;b\n1;2\n", b"\x00\xff"]
    assert message["Date"].datetime
    assert message["Message-ID"].endswith("@example.org>")
    assert capsys.readouterr().out.startswith("sent to ada@example.org, bob@example.org, ")


@pytest.mark.parametrize("security", ["none", "starttls", "tls"])
def test_it_signs_in_over_every_kind_of_connection(server, security):
    box = server(security, auth_required=True)
    assert call_job("send_email", box.lent | {"user": "me", "password": PASSWORD}, **MAIL) == ""
    assert len(box.mails) == 1
    failure = call_job("send_email", box.lent | {"user": "me", "password": "wrong"}, **MAIL)
    assert "it refused the user and password of [mail] (535" in failure
    assert "wrong" not in failure


def test_a_certificate_that_nobody_trusts_is_refused(server, monkeypatch):
    for security in ("starttls", "tls"):
        box = server(security)
        monkeypatch.setenv("SSL_CERT_FILE", "/dev/null")
        assert "no secure connection (TLS)" in call_job("send_email", box.lent, **MAIL)
        assert box.mails == []


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"to": ["nobody@example.org"]}, "it refused nobody@example.org (550 no such mailbox)"),
        ({"to": ["nobody@example.org", "ada@example.org"]}, "went to the others, but localhost"),
        ({"text": "the unwanted word"}, "it answered 554 this is spam"),
        (
            {"attachments": ["/no/such/file"]},
            "cannot attach /no/such/file: No such file or directory; nothing was sent",
        ),
        ({"to": []}, "cannot send an e-mail to nobody"),
    ],
)
def test_what_goes_wrong_is_said_in_a_sentence(server, changes, says):
    assert says in call_job("send_email", server().lent, **(MAIL | changes))


def test_too_large_attachments_are_refused_before_anything_is_sent(server, tmp_path):
    box = server()
    with (tmp_path / "large").open("wb") as file:
        file.truncate(26_000_000)
    assert "larger than 25 MB" in call_job("send_email", box.lent, **MAIL, attachments=[str(tmp_path / "large")])
    assert box.mails == []


def test_a_server_that_is_not_there_or_not_configured_is_said_with_what_to_do(server):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    lent = server().lent
    assert "nothing listens there; check host and port under [mail]" in call_job(
        "send_email", lent | {"port": port}, **MAIL
    )
    assert "the name cannot be found" in call_job("send_email", lent | {"host": "no-such-host.invalid"}, **MAIL)
    assert "no server is configured" in call_job("send_email", lent | {"host": None}, **MAIL)
    assert "without a sender" in call_job("send_email", lent | {"sender": None}, **MAIL)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"subject": "a\r\nBcc: everybody@example.org"}, "subject"),
        ({"to": ["ada@example.org\nBcc: everybody@example.org"]}, "to"),
        ({"to": ["ada@example.org, everybody@example.org"]}, "to"),
        ({"cc": ["ada"]}, "cc"),
        ({"bcc": ["ada@@example.org"]}, "bcc"),
        ({"reply_to": "a@b\r\nX: y"}, "reply_to"),
        ({"sender": "Me\nX: y <a@example.org>"}, "sender"),
    ],
)
def test_a_header_that_would_become_two_is_refused_when_it_is_saved(changes, name):
    with pytest.raises(ParameterError) as refused:
        find("send_email", None).validate(MAIL | changes)
    assert list(refused.value.problems) == [name]
