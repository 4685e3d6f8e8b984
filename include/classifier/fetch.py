"""Fetches an image that a request refers to, from a public web address or from the project's own S3 prefix.

An endpoint that opens any address it is given lets its callers reach what only the endpoint can reach: the
instance's credentials, other hosts of its network. So every address is resolved first, must be public, and
the connection goes to the checked address itself, that a second DNS answer cannot change it.
"""

import http.client
import ipaddress
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from errors import RequestError

URL_VARIABLE = "URL_INPUT"
S3_VARIABLE = "S3_INPUT_PREFIX"

MAX_BYTES = 10 * 1024 * 1024
MAX_REDIRECTS = 3
CONNECT_SECONDS = 5.0
TOTAL_SECONDS = 10.0

REDIRECTS = (301, 302, 303, 307, 308)
# Many object stores serve images as bytes of no declared type; whether they are one, decoding shows.
UNDECLARED_TYPES = ("", "application/octet-stream", "binary/octet-stream")

# Addresses that stand for an IPv4 address behind a gateway: "public" by number, private in effect.
GATEWAY_NETWORKS = tuple(
    ipaddress.IPv6Network(network) for network in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")
)


def from_url(url: str) -> bytes:
    """Fetch an image from a public http or https address, at most 10 MB, within 10 seconds.

    :raises RequestError: the address is refused or unreachable, or what it answers is no image or too large.
    """
    if os.environ.get(URL_VARIABLE, "").lower() == "off":
        raise RequestError('This endpoint does not fetch addresses; send the image itself or "s3".')
    deadline = time.monotonic() + TOTAL_SECONDS
    for _ in range(MAX_REDIRECTS + 1):
        parts, host, port = _parse(url)
        addresses = _public_addresses(host, port, deadline)
        with _response(parts, host, port, addresses, deadline) as response:
            if response.status not in REDIRECTS:
                return _read_image(response, host)
            location = response.getheader("Location")
        if not location:
            raise RequestError(f"{host} answered a redirect that leads nowhere.")
        url = urljoin(url, location)
    raise RequestError(f"The address redirects more than {MAX_REDIRECTS} times.")


def from_s3(uri: str) -> bytes:
    """Read an object below the prefix in S3_INPUT_PREFIX, at most 10 MB.

    :raises RequestError: no prefix is set, the object is outside of it, unreadable or too large.
    """
    prefix = os.environ.get(S3_VARIABLE, "")
    if not prefix:
        raise RequestError('This endpoint does not read from S3; send the image itself or "url".')
    prefix = prefix.rstrip("/") + "/"  # s3://bucket/project must not open s3://bucket/project-of-others
    if not uri.startswith(prefix) or uri == prefix:
        raise RequestError(f"Only objects below {prefix} can be read.")

    import boto3  # only this way of input needs it
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    bucket, _, key = uri.removeprefix("s3://").partition("/")
    seconds = CONNECT_SECONDS
    config = Config(connect_timeout=seconds, read_timeout=seconds, retries={"total_max_attempts": 2})
    try:
        answer = boto3.client("s3", config=config).get_object(Bucket=bucket, Key=key)
        if answer["ContentLength"] > MAX_BYTES:
            raise _too_large(uri)
        return answer["Body"].read()
    except ClientError as error:
        raise RequestError(f"{uri} cannot be read: {error.response['Error']['Code']}.") from None
    except BotoCoreError as error:
        raise RequestError(f"{uri} cannot be read: {type(error).__name__}.") from None


def _parse(url: str) -> tuple[SplitResult, str, int]:
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
        host = (parts.hostname or "").encode("idna").decode()
    except ValueError as error:
        raise RequestError(f"The address is not valid ({error}).") from None
    if parts.scheme not in ("http", "https") or not host:
        raise RequestError("The address must start with http:// or https:// and name a host.")
    if parts.username is not None or parts.password is not None:
        raise RequestError("The address must not contain a user name or a password.")
    return parts, host, port


def _public_addresses(host: str, port: int, deadline: float) -> list[str]:
    """Resolve a host, and return its addresses if every one of them is public."""
    addresses = _resolve(host, port, deadline)
    if not addresses:
        raise RequestError(f"The host {host} is unknown.")
    # One private address among several is refused too: a name under an attacker's control may have both.
    if not all(_is_public(address) for address in addresses):
        raise RequestError(f"The host {host} is not on the public internet, so it is not fetched from.")
    return addresses


def _is_public(address: str) -> bool:
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped
        elif any(ip in network for network in GATEWAY_NETWORKS):
            return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified)


def _resolve(host: str, port: int, deadline: float) -> list[str]:
    found: list[str] = []

    def resolve() -> None:
        try:
            answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            return
        found.extend(dict.fromkeys(str(answer[4][0]) for answer in answers))

    # getaddrinfo knows no time limit; a thread that is still waiting is left behind and ends by itself.
    thread = threading.Thread(target=resolve, daemon=True)
    thread.start()
    thread.join(_remaining(deadline))
    return list(found)


@contextmanager
def _response(
    parts: SplitResult, host: str, port: int, addresses: list[str], deadline: float
) -> Iterator[http.client.HTTPResponse]:
    """Ask for the address and yield the answer; the connection goes to one of the given IP addresses."""
    try:
        with ExitStack() as cleanup:
            connection = http.client.HTTPConnection(host, port)
            cleanup.callback(connection.close)
            connection.sock = sock = _connect(addresses, port, deadline)
            if parts.scheme == "https":
                connection.sock = sock = ssl.create_default_context().wrap_socket(
                    sock, server_hostname=host, do_handshake_on_connect=False
                )
            # A socket's timeout starts anew with every byte that trickles in; this one does not.
            timer = threading.Timer(_remaining(deadline), _shut_down, [sock])
            timer.start()
            cleanup.callback(timer.cancel)
            if isinstance(sock, ssl.SSLSocket):
                sock.do_handshake()
            headers = {"Accept": "image/*", "User-Agent": "image-classifier"}
            connection.request("GET", _target(parts), headers=headers)
            yield connection.getresponse()
            if time.monotonic() >= deadline:  # what was read ended because the connection was shut down
                raise TimeoutError
    except RequestError:
        raise
    except (OSError, http.client.HTTPException, ValueError) as error:
        if time.monotonic() >= deadline:
            raise RequestError(f"{host} did not answer within {TOTAL_SECONDS:.0f} seconds.") from None
        raise RequestError(f"{host} cannot be reached ({type(error).__name__}).") from None


def _target(parts: SplitResult) -> str:
    """Return path and query with every character escaped that a request line cannot hold."""
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~")
    return f"{path}?{quote(parts.query, safe='/%:@!$&()*+,;=~?')}" if parts.query else path


def _connect(addresses: list[str], port: int, deadline: float) -> socket.socket:
    failure: OSError = OSError("no address")
    for address in addresses:
        try:
            timeout = min(CONNECT_SECONDS, _remaining(deadline))
            return socket.create_connection((address, port), timeout)
        except OSError as error:
            failure = error
    raise failure


def _shut_down(sock: socket.socket) -> None:
    with suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)  # not the TLS socket's own: that is in use elsewhere


def _read_image(response: http.client.HTTPResponse, host: str) -> bytes:
    if response.status != 200:
        raise RequestError(f"{host} answered with status {response.status} instead of an image.")
    kind = (response.getheader("Content-Type") or "").split(";")[0].strip().lower()
    if not kind.startswith("image/") and kind not in UNDECLARED_TYPES:
        raise RequestError(f"{host} answered with {kind} instead of an image.", status=415)
    if (response.length or 0) > MAX_BYTES:
        raise _too_large(f"The image at {host}")
    content = response.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise _too_large(f"The image at {host}")
    return content


def _too_large(what: str) -> RequestError:
    return RequestError(f"{what} is larger than {MAX_BYTES // 1024 // 1024} MB.", status=413)


def _remaining(deadline: float) -> float:
    return max(0.01, deadline - time.monotonic())
