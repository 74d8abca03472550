"""httpx's way to a server, through addresses that have been checked: each request's, and so each redirect's, anew."""

import ssl

import httpx

from jobs.builtin._network import Allowed

_PORTS = {"http": 80, "https": 443}


class CheckedTransport(httpx.BaseTransport):
    """Looks the name up once, and connects to what was looked up: a second answer of the name's cannot matter."""

    def __init__(self, allowed: Allowed, tls: ssl.SSLContext) -> None:
        self._allowed = allowed
        # A connection is never used again: two names of one address must each show their own certificate.
        self._inner = httpx.HTTPTransport(verify=tls, limits=httpx.Limits(max_keepalive_connections=0))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.scheme not in _PORTS:
            raise httpx.UnsupportedProtocol(f"{request.url.scheme}: is neither http: nor https:")
        host = request.url.raw_host.decode("ascii")
        port = request.url.port or _PORTS[request.url.scheme]
        *others, last = self._allowed.addresses(host.strip("[]"), port)
        for address in others:
            try:
                return self._inner.handle_request(_to(request, address, host))
            except httpx.ConnectError:
                continue
        return self._inner.handle_request(_to(request, last, host))

    def close(self) -> None:
        self._inner.close()


def _to(request: httpx.Request, address: str, host: str) -> httpx.Request:
    """Return *request* as it goes to *address*: in its Host header and in TLS the server is asked for by its name."""
    return httpx.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": host.strip("[]")},
    )
