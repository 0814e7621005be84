"""Sending to addresses that people name, without letting them reach what only this machine can.

Whoever may name an address could otherwise have Closer ask the machine itself, its network or a
cloud's metadata service (server-side request forgery). So names are resolved here, every address is
looked at, and the connection is made to the very address that passed: a name that is resolved again
could lead elsewhere by then. Redirects are not followed, for they lead elsewhere, too.
"""

import contextlib
import http.client
import ipaddress
import socket
import ssl
import threading
from urllib.parse import SplitResult, urlsplit

from django.conf import settings

CONNECT_S = 5.0
MOST_ADDRESSES = 4  # of a host that are tried
TOTAL_S = 10.0  # from the connection to the answer's last byte that is read
MOST_BYTES = 10_000  # of the answer
PORTS = {"http": 80, "https": 443}
NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052: IPv4 addresses in disguise


class NotPublic(ValueError):
    """An address that is not sent to; the message says why."""


class NoAnswer(Exception):
    """Nobody answered in time, or what came back was no HTTP."""


def check_url(url: str) -> SplitResult:
    """The parts of an address that may be sent to, as far as the text tells. Raises NotPublic."""
    if not url.isascii() or not url.isprintable() or " " in url:
        raise NotPublic("takes ASCII characters without spaces")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise NotPublic("is no address") from None
    if parts.scheme not in PORTS or not parts.hostname:
        raise NotPublic("must begin with http:// or https:// and name a host")
    if parts.username is not None or parts.password is not None:
        raise NotPublic("must not hold a name or a password")
    return parts


def public_addresses(host: str, port: int) -> list[tuple]:
    """What a host resolves to, as socket.getaddrinfo writes it.

    Raises NotPublic if any of it is not public, unless CLOSER_WEBHOOK_PRIVATE allows a lab's own
    network, and NoAnswer if there is nothing.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise NoAnswer(f"{host} is not known") from None
    for *_, address in found:
        if not settings.CLOSER_WEBHOOK_PRIVATE and not is_public(address[0]):
            raise NotPublic(f"{host} is not on the public network")
    return found


def is_public(address: str) -> bool:
    """Whether an IP address is one that anybody on the internet could ask."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address) and (
        ip.ipv4_mapped or ip.sixtofour or ip.teredo or ip in NAT64
    ):
        return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified)


def post(url: str, body: bytes, headers: dict[str, str]) -> int:
    """Send a body; returns the answer's status. Raises NotPublic and NoAnswer."""
    parts = check_url(url)
    port = parts.port or PORTS[parts.scheme]
    sock = _wrapped(_connected(public_addresses(parts.hostname, port)), parts)
    # A host that sends a byte now and then would keep a timeout of single reads from ever ending.
    watch = threading.Timer(TOTAL_S, _hang_up, [sock])
    watch.start()
    try:
        if isinstance(sock, ssl.SSLSocket):
            sock.do_handshake()
        connection = http.client.HTTPConnection(parts.hostname, port)
        connection.default_port = PORTS[parts.scheme]  # which the header Host leaves out
        connection.sock = sock
        path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        answer.read(MOST_BYTES)
        return answer.status
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NoAnswer(str(error) or type(error).__name__) from None
    finally:
        watch.cancel()
        sock.close()


def _connected(found: list[tuple]) -> socket.socket:
    """A connection to the first of the addresses that answers."""
    problem = "no address"
    for family, kind, protocol, _, address in found[:MOST_ADDRESSES]:
        try:
            sock = socket.socket(family, kind, protocol)
        except OSError as error:  # no IPv6 here, say
            problem = str(error)
            continue
        sock.settimeout(CONNECT_S)
        try:
            sock.connect(address)
        except OSError as error:
            sock.close()
            problem = str(error)
        else:
            sock.settimeout(TOTAL_S)
            return sock
    raise NoAnswer(problem)


def _wrapped(sock: socket.socket, parts: SplitResult) -> socket.socket:
    """As it is, or with TLS for the host's name, which is yet to be begun."""
    if parts.scheme == "http":
        return sock
    context = ssl.create_default_context()
    return context.wrap_socket(sock, server_hostname=parts.hostname, do_handshake_on_connect=False)


def _hang_up(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it is over already
        sock.shutdown(socket.SHUT_RDWR)
