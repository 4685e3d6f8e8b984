"""Images are fetched from the public internet and the project's own prefix, and from nowhere else."""

import http.server
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import unquote

import boto3
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from image_classifier import fetch
from image_classifier.errors import RequestError
from moto import mock_aws


class Clock:
    """Stands for the module time in fetch.py; the web site sets it forward."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


class Handler(http.server.BaseHTTPRequestHandler):
    """Answer each path in its own way; /to/<address> redirects there, and /later/<address> after the time limit."""

    over = threading.Event()  # a trickling response continues until this is set
    clock = Clock()

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        if path.startswith("/to/"):
            self.answer(302, Location=unquote(self.path.removeprefix("/to/")))
        elif path.startswith("/later/"):
            self.clock.now += fetch.TOTAL_SECONDS
            self.answer(302, Location=unquote(self.path.removeprefix("/later/")))
        elif path.startswith("/hops/"):
            hops = int(path.removeprefix("/hops/"))
            self.answer(302, Location=f"/hops/{hops - 1}" if hops > 1 else "/photo.jpg")
        elif path == "/photo.jpg":
            self.answer(200, b"photo", Content_Type="image/jpeg")
        elif path == "/undeclared":
            self.answer(200, b"photo", Content_Type="application/octet-stream")
        elif path == "/page":
            self.answer(200, b"<html>", Content_Type="text/html")
        elif path == "/declared-large":
            self.answer(200, b"", Content_Type="image/png", Content_Length=str(fetch.MAX_BYTES + 1))
        elif path == "/large":
            self.answer(200, bytes(fetch.MAX_BYTES + 1), Content_Type="image/png")
        elif path == "/slow":
            self.answer(200, b"", Content_Type="image/png", Content_Length="1000000")
            self.trickle()
        else:
            self.answer(404)

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def trickle(self) -> None:
        try:
            while not self.over.wait(0.05):
                self.wfile.write(b"x")
        except OSError:
            pass  # the client has hung up, as it should

    def log_message(self, *arguments: object) -> None:
        """Keep the tests' output clean."""


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture
def site(port: int, monkeypatch: pytest.MonkeyPatch) -> str:
    """A web site on 127.0.0.1, which for once counts as public; every other address is judged as ever."""
    judge = fetch.is_public
    monkeypatch.setattr(fetch, "is_public", lambda address: address == "127.0.0.1" or judge(address))
    return f"http://127.0.0.1:{port}"


@pytest.mark.parametrize("path", ["/photo.jpg", "/undeclared", "/photo.jpg?size=large&name=a b", "/hops/3"])
def test_an_image_is_fetched(path: str, site: str) -> None:
    assert fetch.from_url(site + path) == b"photo"


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/nothing", 400, "status 404"),
        ("/page", 415, "text/html instead of an image"),
        ("/declared-large", 413, "larger than 10 MB"),
        ("/large", 413, "larger than 10 MB"),
        ("/hops/4", 400, "more than 3 times"),
        ("/to/", 400, "leads nowhere"),
        ("/to/http://127.0.0.2/", 400, "not on the public internet"),
        ("/to/http://169.254.169.254/latest/meta-data/", 400, "not on the public internet"),
        ("/to/http://[::1]/", 400, "not on the public internet"),
        ("/to/file:///etc/passwd", 400, "http:// or https://"),
        ("/to/http://[/", 400, "redirect that is not valid"),
        ("/to/http://a:99999/", 400, "not valid"),
    ],
)
def test_an_answer_that_is_no_image_is_refused(path: str, status: int, message: str, site: str) -> None:
    with pytest.raises(RequestError, match=message) as refused:
        fetch.from_url(site + path)

    assert refused.value.status == status


@pytest.fixture
def trickling(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the slow response of the web site last until the test ends, whatever the time limit."""
    monkeypatch.setattr(Handler, "over", threading.Event())
    monkeypatch.setattr(fetch, "resolve_host", lambda *_: ["127.0.0.1"])
    yield
    Handler.over.set()


@pytest.mark.usefixtures("trickling")
def test_a_server_that_trickles_is_given_up(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "TOTAL_SECONDS", 0.5)

    with pytest.raises(RequestError, match="did not answer within"):
        fetch.from_url(f"{site}/slow")


def test_a_host_that_does_not_listen_is_told(site: str) -> None:
    with pytest.raises(RequestError, match="cannot be reached"):
        fetch.from_url("http://127.0.0.1:1/")


def test_a_certificate_is_demanded(site: str) -> None:
    with pytest.raises(RequestError, match="cannot be reached"):
        fetch.from_url(site.replace("http:", "https:"))


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of the host photos.invalid, signed by itself, and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "photos.invalid")])
    today = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(today - timedelta(days=1))
        .not_valid_after(today + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("photos.invalid")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "certificate.pem"
    path.write_bytes(
        signed.public_bytes(Encoding.PEM)
        + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    return path


@pytest.fixture
def secure_port(certificate: Path) -> Iterator[int]:
    """The port of the same web site by https."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.parametrize(
    ("host", "trusted", "accepted"),
    [
        pytest.param("photos.invalid", True, True, id="good"),
        pytest.param("photos.invalid", False, False, id="not trusted"),
        pytest.param("others.invalid", True, False, id="of another host"),
    ],
)
def test_the_certificate_must_be_that_of_the_host_in_the_address(
    host: str,
    trusted: bool,
    accepted: bool,
    certificate: Path,
    secure_port: int,
    site: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fetch, "resolve_host", lambda *_: ["127.0.0.1"])
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    url = f"https://{host}:{secure_port}/photo.jpg"

    if accepted:
        assert fetch.from_url(url) == b"photo"
    else:
        with pytest.raises(RequestError, match="SSLCertVerificationError"):
            fetch.from_url(url)


def test_a_name_server_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "TOTAL_SECONDS", 0.2)
    given_up = threading.Event()
    monkeypatch.setattr(fetch.socket, "getaddrinfo", lambda *_, **__: given_up.wait() and [])

    with pytest.raises(RequestError, match="is unknown"):
        fetch.from_url("http://slow.invalid/")

    given_up.set()


@pytest.mark.usefixtures("trickling")
def test_every_hop_counts_against_one_time_limit(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Handler, "clock", clock := Clock())
    monkeypatch.setattr(fetch, "time", clock)

    with pytest.raises(RequestError, match="did not answer within"):
        fetch.from_url(f"{site}/later/{site}/slow")


def test_a_name_that_turns_private_between_two_hops_is_refused(
    site: str, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([["127.0.0.1"], ["10.0.0.1"]])
    monkeypatch.setattr(fetch, "resolve_host", lambda *_: next(answers))

    with pytest.raises(RequestError, match="not on the public internet"):
        fetch.from_url(f"http://rebinding.invalid:{port}/hops/1")


def test_the_connection_goes_to_the_address_that_was_checked(
    site: str, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lookups = []
    monkeypatch.setattr(fetch, "resolve_host", lambda host, *_: lookups.append(host) or ["127.0.0.1"])

    assert fetch.from_url(f"http://rebinding.invalid:{port}/photo.jpg") == b"photo"
    assert lookups == ["rebinding.invalid"]


def test_a_proxy_is_not_used(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")

    assert fetch.from_url(f"{site}/photo.jpg") == b"photo"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::1]", "0.0.0.0"])
def test_this_machine_is_refused(host: str, port: int) -> None:
    with pytest.raises(RequestError, match=r"not on the public internet|is unknown"):
        fetch.from_url(f"http://{host}:{port}/photo.jpg")


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "2001:0:7f00:1::",
        "192.0.0.192",
        "192.0.0.8",
        "192.88.99.1",
        "192.0.2.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "240.0.0.1",
        "::ffff:192.0.0.192",
        "::7f00:1",
        "64:ff9b:1::1",
        "100::1",
        "100:0:0:1::1",
        "2001:2::1",
        "2001:db8::1",
        "3fff::1",
        "5f00::1",
        "fec0::1",
    ],
)
def test_an_address_that_is_not_public_is_known(address: str) -> None:
    assert not fetch.is_public(address)


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "192.0.1.1", "2001:4860:4860::8888", "2a00:1450::1"],
)
def test_a_public_address_is_known(address: str) -> None:
    assert fetch.is_public(address)


def test_a_name_with_one_private_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "resolve_host", lambda *_: ["8.8.8.8", "10.0.0.1"])

    with pytest.raises(RequestError, match="not on the public internet"):
        fetch.from_url("http://two-faced.invalid/")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "photo.jpg",
        "ftp://example.com/",
        "file:///etc/passwd",
        "http://",
        "http://a:b/",
        "http://[1",
        "http://a..b/",
        "http://a:99999/",
        "http://[::1/",
    ],
)
def test_an_address_that_is_not_valid_is_refused(url: str) -> None:
    with pytest.raises(RequestError, match=r"not valid|http:// or https://"):
        fetch.from_url(url)


def test_a_host_that_no_resolver_can_be_asked_for_is_unknown(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RequestError, match="is unknown"):
        fetch.from_url("http://a\0b/")
    assert "Traceback" not in capfd.readouterr().err


def test_a_very_long_address_is_refused() -> None:
    with pytest.raises(RequestError, match=r"10,009 characters, more than 8,192"):
        fetch.from_url("http://a/" + "b" * 10_000)


def test_a_password_in_an_address_is_refused() -> None:
    with pytest.raises(RequestError, match="user name or a password"):
        fetch.from_url("http://user:secret@example.com/")


def test_fetching_can_be_switched_off(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("URL_INPUT", "off")

    with pytest.raises(RequestError, match="does not fetch addresses"):
        fetch.from_url(f"{site}/photo.jpg")


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A bucket with objects in the project's prefix, and beside it."""
    monkeypatch.setenv("S3_INPUT_PREFIX", "s3://pets/dogs")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    fetch.make_s3_client.cache_clear()
    with mock_aws():
        s3 = boto3.client("s3", region_name="us-east-1")
        s3.create_bucket(Bucket="pets")
        for key in ("dogs/rex.jpg", "dogs-of-others/rex.jpg", "cats/tom.jpg"):
            s3.put_object(Bucket="pets", Key=key, Body=b"photo")
        s3.put_object(Bucket="pets", Key="dogs/large.jpg", Body=bytes(fetch.MAX_BYTES + 1))
        yield


def test_an_object_of_the_project_is_read(bucket: None) -> None:
    assert fetch.from_s3("s3://pets/dogs/rex.jpg") == b"photo"


@pytest.mark.parametrize(
    ("uri", "status", "message"),
    [
        ("s3://pets/cats/tom.jpg", 400, "Only objects below s3://pets/dogs/"),
        ("s3://pets/dogs-of-others/rex.jpg", 400, "Only objects below"),
        ("s3://pets/dogs/", 400, "Only objects below"),
        ("https://pets/dogs/rex.jpg", 400, "Only objects below"),
        ("s3://pets/dogs/nobody.jpg", 400, "NoSuchKey"),
        ("s3://pets/dogs/large.jpg", 413, "larger than 10 MB"),
        ("s3://pets/dogs/" + "é" * 600, 400, "The key has 1,205 bytes, more than 1,024"),
    ],
)
def test_another_object_is_refused(uri: str, status: int, message: str, bucket: None) -> None:
    with pytest.raises(RequestError, match=message) as refused:
        fetch.from_s3(uri)

    assert refused.value.status == status


def test_a_batch_makes_one_client(bucket: None, monkeypatch: pytest.MonkeyPatch) -> None:
    made, make = [], boto3.client
    monkeypatch.setattr(boto3, "client", lambda *given, **more: made.append(1) or make(*given, **more))

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(fetch.from_s3, ["s3://pets/dogs/rex.jpg"] * 16)) == {b"photo"}

    assert len(made) == 1


def test_without_a_prefix_nothing_is_read_from_s3(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("S3_INPUT_PREFIX", raising=False)

    with pytest.raises(RequestError, match="does not read from S3"):
        fetch.from_s3("s3://pets/dogs/rex.jpg")
