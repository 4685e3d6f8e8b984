"""``make test-serving-image``: make what the serving image's Dockerfile says in a folder, without Docker, and ask it.

With the rights of root, and debootstrap, the folder has a Debian of its own, and ``serve`` runs under it as process 1,
as in a container. Without them, a sentence says so, and the packages of requirements.txt run alone, with a Python 3.13
of this machine. What is made below ``.local/images`` is kept; MIRROR names another mirror than that of debootstrap.
"""

import io
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Not as tests.include.serving: other packages have installed a package tests.
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "include" / "serving")]

import psutil  # noqa: E402
import urllib3  # noqa: E402
from compare import interpreter  # noqa: E402
from PIL import Image  # noqa: E402
from small_model import write_model  # noqa: E402

from benchmarks.servers import free_port  # noqa: E402
from include.pipeline.packages import serving_package  # noqa: E402

FOLDER = ROOT / ".local" / "images" / "serving-root"
RELEASE = "trixie"
PYTHON = "3.13"
PACKAGES = "usr/local/lib/serving"
START_SECONDS = 120
SHELL = """
mount -t proc proc {root}/proc && mount -t tmpfs tmpfs {root}/dev/shm &&
exec chroot {root} /usr/bin/env -i PATH=/usr/local/bin:/usr/bin:/bin PYTHONPATH=/{packages} PYTHONUNBUFFERED=1 \\
    MODEL_RUNTIME=onnxruntime SERVING_HOST=127.0.0.1 SAGEMAKER_BIND_TO_PORT={port} serve
"""


def why_no_root() -> str | None:
    """Return why no Debian can be made here, None where it can."""
    if os.geteuid() != 0:
        return "This is not root, who alone can make and change to another root."
    missing = [name for name in ("debootstrap", "unshare", "chroot") if shutil.which(name) is None]
    return f"There is no {', '.join(missing)} on the PATH." if missing else None


def make_debian() -> None:
    """Make a Debian with Python in the folder, once."""
    if (FOLDER / "usr" / "bin" / "python3").exists():
        return
    print(f"Making a Debian in {FOLDER}; this takes minutes.", flush=True)
    shutil.rmtree(FOLDER, ignore_errors=True)
    command = ["debootstrap", "--variant=minbase", "--include=python3,ca-certificates", RELEASE, str(FOLDER)]
    subprocess.run([*command, *os.environ.get("MIRROR", "").split()], check=True, stdout=subprocess.DEVNULL)
    (FOLDER / "usr" / "local" / "bin" / "python").symlink_to("/usr/bin/python3")


def install(files: dict[str, bytes]) -> None:
    """Install the packages as the Dockerfile does, for its Python, once for each list of them."""
    packages, stamp = FOLDER / PACKAGES, FOLDER / "installed.txt"
    wanted = files["requirements.txt"]
    if stamp.exists() and stamp.read_bytes() == wanted:
        return
    shutil.rmtree(packages, ignore_errors=True)
    with tempfile.NamedTemporaryFile(suffix=".txt") as requirements:
        requirements.write(wanted)
        requirements.flush()
        subprocess.run(
            [
                *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes"),
                *("--only-binary", ":all:", "--python-version", PYTHON, "--implementation", "cp"),
                *(f"--platform={platform}_x86_64" for platform in ("manylinux_2_28", "manylinux2014")),
                *("--target", str(packages), "--requirement", requirements.name),
            ],
            check=True,
        )
    stamp.write_bytes(wanted)


def copy(files: dict[str, bytes]) -> None:
    """Copy what the Dockerfile copies, to where it does."""
    for line in files["Dockerfile"].decode().splitlines():
        if not line.startswith("COPY "):
            continue
        options = [word for word in line.split()[1:] if word.startswith("--")]
        *sources, target = [word for word in line.split()[1:] if not word.startswith("--")]
        for source in sources:
            path = FOLDER / target.lstrip("/")
            path = path / source if target.endswith("/") else path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(files[source])
            path.chmod(0o755 if "--chmod=755" in options else 0o644)


@contextmanager
def running(port: int, alone: bool, log: Path) -> Iterator[psutil.Process]:
    """Run ``serve``, and yield its process."""
    environment = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(FOLDER / PACKAGES),
        "MODEL_RUNTIME": "onnxruntime",
        "SERVING_HOST": "127.0.0.1",
        "SAGEMAKER_BIND_TO_PORT": str(port),
        "SAGEMAKER_BASE_DIR": str(FOLDER / "opt" / "ml"),
    }
    if alone:
        command = [interpreter(PYTHON), "-P", "-S", str(FOLDER / "opt" / "serving" / "serve.py")]
    else:
        script = SHELL.format(root=shlex.quote(str(FOLDER)), packages=PACKAGES, port=port)
        command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script]
    with log.open("w") as out:
        process = subprocess.Popen(
            command, env=environment if alone else None, stdout=out, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while _status("GET", port, "/ping") != 200:
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"The server does not serve:\n{log.read_text()}")
            time.sleep(0.2)
        yield psutil.Process(process.pid) if alone else psutil.Process(process.pid).children()[0]
        process.wait(30)
    finally:
        process.kill()
        process.wait()


def _status(method: str, port: int, path: str, body: bytes = b"", **headers: str) -> int | None:
    try:
        return urllib3.request(
            method, f"http://127.0.0.1:{port}{path}", body=body, headers=headers, retries=False, timeout=30
        ).status
    except urllib3.exceptions.HTTPError:
        return None


def check(port: int) -> None:
    """Question the server.

    :raises SystemExit: an answer is wrong.
    """
    file = io.BytesIO()
    Image.new("RGB", (48, 40), (20, 220, 20)).save(file, "JPEG")
    url = f"http://127.0.0.1:{port}/invocations"
    answer = urllib3.request("POST", url, body=file.getvalue(), headers={"Content-Type": "image/jpeg"})
    label = answer.json()["predictions"][0]["label"]
    found = (answer.status, label, answer.headers.get("X-Amzn-SageMaker-Custom-Attributes"))
    wanted = (200, "002.Green", "runtime=onnxruntime;precision=fp32")
    if found != wanted:
        sys.exit(f"A photo was answered with {found}, not with {wanted}.")
    for status, content_type, body in (
        (415, "text/csv", b"1,2"),
        (400, "image/jpeg", b"no image"),
        (413, "image/jpeg", b"x" * (25 * 2**20 + 1)),
    ):
        got = urllib3.request("POST", url, body=body, headers={"Content-Type": content_type})
        if got.status != status or not got.json()["error"]:
            sys.exit(
                f"{content_type} of {len(body)} bytes was answered with {got.status}, not with {status}."
            )


def main() -> None:
    alone = why_no_root()
    FOLDER.mkdir(parents=True, exist_ok=True)
    if alone:
        print(
            f"{alone} The packages run with a Python of this machine instead of a Debian of their own.",
            flush=True,
        )
    else:
        make_debian()
    with zipfile.ZipFile(io.BytesIO(serving_package().content)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    install(files)
    copy(files)
    shutil.rmtree(FOLDER / "opt" / "ml", ignore_errors=True)
    write_model(FOLDER / "opt" / "ml")
    size = sum(path.stat().st_size for path in (FOLDER / PACKAGES).rglob("*") if path.is_file())
    if (FOLDER / PACKAGES / "torch").exists():
        sys.exit("torch is among the packages of the serving image.")
    print(f"The packages have {size / 1e6:.0f} MB, without torch.")
    port, log = free_port(), FOLDER / "serving.log"
    with running(port, alone is not None, log) as server:
        check(port)
        memory = sum(each.memory_full_info().pss for each in (server, *server.children(recursive=True)))
        print(f"It has answered, with {memory / 1e6:.0f} MB of memory.")
        server.send_signal(signal.SIGTERM)
        status = server.wait(30)
    if alone and status != 0:
        sys.exit(f"It ended with status {status} after SIGTERM:\n{log.read_text()}")
    print("It has ended after SIGTERM. The serving image has all that it needs.")


if __name__ == "__main__":
    main()
