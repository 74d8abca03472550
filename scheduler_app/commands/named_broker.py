"""Asking the broker of broker.url who it is."""

# mypy: allow-untyped-calls
# kombu says that it is typed and leaves most of its functions without annotations.

from kombu.connection import Connection

from scheduler_app.broker import BrokerError
from scheduler_app.config import Secret

ANSWERS_WITHIN = 5.0


def introduce(address: Secret) -> tuple[str, str, str]:
    """Log in; return the address without its password, the product and the version. Raises BrokerError."""
    connection = Connection(address.reveal(), connect_timeout=ANSWERS_WITHIN)
    shown = str(connection.as_uri())
    try:
        connection.connect()
        properties = getattr(connection.connection, "server_properties", {})
    except (*connection.connection_errors, *connection.channel_errors) as error:
        raise BrokerError(f"cannot use {shown}: {error}") from error
    finally:
        connection.release()
    return shown, str(properties.get("product", "a broker of another kind")), str(properties.get("version", ""))
