"""Make the virtual environment .venv in this repository, or say in one sentence why that cannot work here.

It runs before anything is installed, by whatever Python the machine has: standard library only, in a syntax
that Python 3.6 reads. It does nothing when .venv already holds what the requirement files ask for, and
finishes what an earlier run that was killed had begun.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
OLDEST, NEWEST = (3, 11), (3, 13)
# Measured: 7.2 GB installed, of which 5.5 GB are PyTorch with CUDA; the rest is room for unpacking.
NEEDED_GIGABYTES = 8.0
GIGABYTE = 1e9
STAMP = "prepared"
LAST_LINES = 15
# They would make the environment's Python look for packages outside of it.
LEADING_ASTRAY = ("PYTHONPATH", "PYTHONHOME")


class CannotPrepare(Exception):
    """A sentence for the person who must act."""


def check_python(version: tuple, executable: str) -> None:
    """Raise CannotPrepare when the pinned packages do not run on Python `version`, (major, minor, micro)."""
    if OLDEST <= version[:2] <= NEWEST:
        return
    found = suitable_pythons()
    wrong = "old" if version[:2] < OLDEST else "new"
    raise CannotPrepare(
        f"Python {'.'.join(map(str, version))} ({executable}) is too {wrong}: "
        f"the pinned Airflow and PyTorch need Python 3.{OLDEST[1]} to 3.{NEWEST[1]}. "
        + (
            f"{' and '.join(found)} can be found here: choose it with `make demo PYTHON={found[0]}`."
            if found
            else "Install one of these and choose it, for example with `make demo PYTHON=python3.12`."
        )
    )


def suitable_pythons() -> list:
    """Return the names on PATH, newest first, of the Pythons that would do."""
    names = [f"python3.{minor}" for minor in range(NEWEST[1], OLDEST[1] - 1, -1)]
    # A version manager's shim may be on PATH without a Python behind it, hence the trial run.
    return [name for name in names if shutil.which(name) and runs(name)]


def runs(python: str) -> bool:
    """Tell whether the command `python` really is one."""
    return subprocess.call([python, "-c", ""], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0


def check_venv_module() -> None:
    """Raise CannotPrepare when this Python cannot make virtual environments, as Debian's does by default."""
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        raise CannotPrepare(
            f"{sys.executable} has no venv module: install it (on Debian and Ubuntu "
            f"`sudo apt install python3.{sys.version_info[1]}-venv`) or choose another Python, "
            "for example with `make demo PYTHON=python3.12`."
        ) from None


def check_disk(folder: str, free_bytes: float, already_there_bytes: float) -> None:
    """Raise CannotPrepare when an environment of about 8 GB does not fit."""
    missing = NEEDED_GIGABYTES - (free_bytes + already_there_bytes) / GIGABYTE
    if missing > 0:
        raise CannotPrepare(
            f"Too little disk space in {folder}: the environment takes about {NEEDED_GIGABYTES:.0f} GB, "
            f"and only {free_bytes / GIGABYTE:.1f} GB are free. "
            f"Free {missing:.1f} GB more and run the same command again."
        )


def folder_size(folder: str) -> int:
    """Return the bytes that the files below `folder` hold; 0 when it does not exist."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(path, name)).st_size
            except OSError:  # pip is free to remove a file meanwhile
                continue
    return total


def requirements_hash(root: str) -> str:
    """Return the sha256 of all requirement files, which changes whenever the environment has to."""
    digest = hashlib.sha256()
    folder = os.path.join(root, "requirements")
    names = ["requirements.txt", "constraints.txt"]
    names += sorted(
        os.path.join("requirements", name) for name in os.listdir(folder) if name.endswith(".txt")
    )
    for name in names:
        with open(os.path.join(root, name), "rb") as file:
            digest.update(name.encode() + b"\0" + file.read() + b"\0")
    return digest.hexdigest()


class Environment:
    """The virtual environment of a repository folder."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.folder = os.path.join(root, ".venv")
        self.python = os.path.join(self.folder, "bin", "python")
        self.stamp = os.path.join(self.folder, STAMP)
        self.log = os.path.join(self.folder, "pip.log")

    def is_prepared(self) -> bool:
        """Tell whether the environment holds what the requirement files ask for."""
        try:
            with open(self.stamp) as file:
                return file.read() == requirements_hash(self.root) and os.path.exists(self.python)
        except OSError:
            return False

    def works(self) -> bool:
        """Tell whether there is a Python of a supported version with pip, whatever else is installed."""
        test = f"import pip, sys; sys.exit(not {OLDEST} <= sys.version_info[:2] <= {NEWEST})"
        try:
            return subprocess.call([self.python, "-c", test], stderr=subprocess.DEVNULL) == 0
        except OSError:
            return False

    def create(self) -> None:
        """Make an empty environment with this Python, in the place of whatever is there."""
        check_python(sys.version_info[:3], sys.executable)
        check_venv_module()
        say(f"Making a virtual environment with Python 3.{sys.version_info[1]} in {self.folder}")
        made = subprocess.run(
            [sys.executable, "-m", "venv", "--clear", self.folder],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        if made.returncode != 0:
            raise CannotPrepare(
                f"{sys.executable} -m venv failed: {made.stdout.decode(errors='replace').strip()}"
            )

    def install(self, lock: int) -> None:
        """Install the pinned packages; the descriptor `lock` stays open for as long as pip lives."""
        unpack_here = os.path.join(self.folder, "unpacking")  # /tmp is often too small for PyTorch
        os.makedirs(unpack_here, exist_ok=True)
        environment = {name: value for name, value in os.environ.items() if name not in LEADING_ASTRAY}
        environment.update(TMPDIR=unpack_here, PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_NO_INPUT="1")
        # No resolving: constraints.txt lists all packages (include/laptop/lock.py says why).
        command = [self.python, "-m", "pip", "install", "--no-deps", "--no-compile", "--progress-bar", "off"]
        command += ["-r", os.path.join(self.root, "constraints.txt")]
        with open(self.log, "wb") as log:
            pip = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, env=environment, pass_fds=[lock]
            )
        progress = Progress(self)
        try:
            while pip.poll() is None:
                progress.show()
                time.sleep(0.3)
        finally:
            progress.end()
            if pip.poll() is None:
                pip.terminate()
                pip.wait()
        shutil.rmtree(unpack_here, ignore_errors=True)
        if pip.returncode != 0:
            raise CannotPrepare(
                f"pip could not install the pinned packages (exit status {pip.returncode}). Its last lines:\n"
                f"{last_lines(self.log)}\nAll of it is in {self.log}."
            )

    def compile(self) -> None:
        """Compile all bytecode: without it each `airflow` command takes 12 s instead of 2.5 s."""
        say("Compiling bytecode")
        packages = os.path.join(self.folder, "lib")
        # Its exit status is no verdict: some packages ship templates that are not Python.
        subprocess.call([self.python, "-W", "ignore", "-m", "compileall", "-q", "-q", "-j", "0", packages])

    def write_stamp(self) -> None:
        """Note, in one step, that all is installed."""
        with open(self.stamp + ".new", "w") as file:
            file.write(requirements_hash(self.root))
        os.replace(self.stamp + ".new", self.stamp)


class Progress:
    """Says how far pip has come: a live line on a terminal, a plain line now and then otherwise."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.live = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        self.began = self.said = time.time()
        with open(os.path.join(environment.root, "constraints.txt")) as file:
            self.total = len({line.split("==")[0] for line in file if "==" in line})

    def line(self) -> str:
        """Return what pip does now, and how far it is."""
        with open(self.environment.log, errors="replace") as file:
            text = file.read()
        if "\nInstalling collected packages" in text:
            doing, done = "installing", self.installed()
        else:
            doing = "fetching"
            done = text.count("\nCollecting ") + text.count("\nRequirement already satisfied")
        done = min(done, self.total)
        return f"  {doing} {done} of about {self.total} packages, {time.time() - self.began:.0f} s"

    def installed(self) -> int:
        """Return how many packages are complete, which pip itself does not say."""
        count = 0
        for path, folders, _ in os.walk(os.path.join(self.environment.folder, "lib")):
            if os.path.basename(path) == "site-packages":
                count += sum(1 for name in folders if name.endswith(".dist-info"))
                folders.clear()
        return count

    def show(self) -> None:
        """Say it, where and when it is worth saying."""
        if self.live:
            sys.stdout.write("\r\033[K" + self.line())
            sys.stdout.flush()
        elif time.time() - self.said > 20:
            self.said = time.time()
            say(self.line())

    def end(self) -> None:
        """Leave a clean line."""
        if self.live:
            sys.stdout.write("\r\033[K")
            sys.stdout.flush()


def last_lines(path: str) -> str:
    """Return the last lines of a log, indented."""
    with open(path, errors="replace") as file:
        return "".join("    " + line for line in file.readlines()[-LAST_LINES:]).rstrip("\n")


def say(text: str) -> None:
    """Print a line at once, also into a pipe."""
    print(text, flush=True)


def prepare(root: str) -> None:
    """Bring the environment of the repository folder `root` to what its requirement files ask for."""
    environment = Environment(root)
    if environment.is_prepared():
        return
    # The folder itself is locked, and pip inherits the lock: should this process be killed and pip live on,
    # the next run waits for it.
    lock = os.open(root, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            say("Another setup of this folder is running: waiting for it to end")
            fcntl.flock(lock, fcntl.LOCK_EX)
            if environment.is_prepared():
                return
        began = time.time()
        check_disk(root, shutil.disk_usage(root).free, folder_size(environment.folder))
        if not environment.works():
            environment.create()
        say("Installing the pinned packages (a few minutes the first time)")
        environment.install(lock)
        environment.compile()
        environment.write_stamp()
        say(f"The environment is ready after {time.time() - began:.0f} s")
    finally:
        os.close(lock)


def main() -> int:
    """Prepare this repository's environment; return the exit status."""
    try:
        prepare(ROOT)
    except CannotPrepare as problem:
        print(problem, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted. The same command continues where it stopped.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
