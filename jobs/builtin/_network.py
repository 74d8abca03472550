"""Which addresses the jobs may call, decided by the address itself and not by its name, and other rules they share.

A name may stand for another address at each look-up, so what was checked is what is connected to.
"""

import ipaddress
import socket
from datetime import timedelta
from typing import NamedTuple

from jobs import lent

ANY = "any"

_HIGHEST = 65535
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: an IPv4 address in its last 32 bits
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def check_port_number(port: int) -> None:
    """Raise ValueError for what is no port."""
    if not 1 <= port <= _HIGHEST:
        raise ValueError(f"a port is a whole number from 1 to {_HIGHEST}")


def check_some_time(timeout: timedelta) -> None:
    """Raise ValueError for no time at all."""
    if not timeout:
        raise ValueError("some time is needed, such as 10s")


class BlockedError(Exception):
    """Every address that a name stands for is one that jobs may not call; str() says why and how it is allowed."""


class Allowed(NamedTuple):
    """What the configuration says beside "every public address"; nothing, where nothing was lent."""

    entries: tuple[str, ...]
    own_ports: frozenset[int]

    @classmethod
    def lent(cls) -> "Allowed":
        return cls(tuple(lent.settings.get("allowed", ())), frozenset(lent.settings.get("own_ports", ())))

    @property
    def everything(self) -> bool:
        return ANY in self.entries

    def addresses(self, host: str, port: int) -> list[str]:
        """Return the addresses of *host* that may be called; BlockedError when there is none, OSError without any."""
        infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        found = list(dict.fromkeys(str(info[4][0]) for info in infos))
        refusals = {address: self._refusal(host, address, port) for address in found}
        fine = [address for address, refusal in refusals.items() if not refusal]
        if not fine:
            raise BlockedError(next(iter(refusals.values())))
        return fine

    def _refusal(self, host: str, text: str, port: int) -> str:
        """Return why this address may not be called, "" when it may."""
        address = ipaddress.ip_address(text.partition("%")[0])
        real = _embedded(address)
        matching = [entry for entry in map(_parsed, self.entries) if entry.fits(host, real)]
        if any(entry.port == port for entry in matching):
            return ""
        named = text if host == text else f"{host} is {text}, and that"
        allow = f"[{text}]" if ":" in text else text
        if port in self.own_ports and _is_of_this_machine(real):
            return (
                f"{named} with port {port} belongs to the scheduler itself; to allow it, set "
                f'allowed_addresses = ["{allow}:{port}"] under [jobs] in scheduler.toml'
            )
        if any(entry.port is None for entry in matching) or _is_public(real):
            return ""
        return (
            f"{named} is not a public address; to allow it, set "
            f'allowed_addresses = ["{text}"] under [jobs] in scheduler.toml'
        )


class _Entry(NamedTuple):
    """An address, a network or a name of the configuration; a *port* of None is every port but the scheduler's own."""

    network: "ipaddress.IPv4Network | ipaddress.IPv6Network | None"
    name: str
    port: int | None

    def fits(self, host: str, address: Address) -> bool:
        if self.network is None:
            return self.name == host.lower().rstrip(".")
        return address in self.network


def _parsed(entry: str) -> _Entry:
    host, port = entry, None
    head, separator, tail = entry.rpartition(":")
    # An IPv6 address with a port has brackets around it.
    if separator and tail.isdigit() and (":" not in head or head.endswith("]")):
        host, port = head, int(tail)
    host = host.strip("[]")
    try:
        return _Entry(ipaddress.ip_network(host, strict=False), "", port)
    except ValueError:
        return _Entry(None, host.lower().rstrip("."), port)


def _embedded(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address stands for, or the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
    if inner is None and address in _NAT64:
        inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return inner or address


def _is_public(address: Address) -> bool:
    return address.is_global and not address.is_multicast


def _is_of_this_machine(address: Address) -> bool:
    if address.is_loopback or address.is_unspecified:
        return True
    import psutil  # noqa: PLC0415 - only for a port that is one of ours

    own = (each.address.partition("%")[0] for cards in psutil.net_if_addrs().values() for each in cards)
    return str(address) in own
