"""Create the virtual environment .venv in this repository, or report in one sentence why this is not possible.

It runs before anything is installed, on any Python of the machine: it uses only the standard library, and syntax that
Python 3.6 supports. It does nothing if .venv is up to date with the requirement files, and continues an earlier run
that was killed.
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
# Measured: 7.2 GB installed, of which 5.5 GB are PyTorch with CUDA. The rest is for unpacking.
NEEDED_GIGABYTES = 8.0
GIGABYTE = 1e9
STAMP = "prepared"
LAST_LINES = 15
# These variables would make the environment's Python search for packages outside the environment.
LEADING_ASTRAY = ("PYTHONPATH", "PYTHONHOME")


class BootstrapError(Exception):
    """The environment can't be created. The message says why and what to do."""


def check_python(version: tuple, executable: str) -> None:
    """Raise BootstrapError if the pinned packages do not support Python `version`, (major, minor, micro)."""
    if OLDEST <= version[:2] <= NEWEST:
        return
    found = suitable_pythons()
    wrong = "old" if version[:2] < OLDEST else "new"
    raise BootstrapError(
        f"Python {'.'.join(map(str, version))} ({executable}) is too {wrong}: "
        f"the pinned Airflow and PyTorch require Python 3.{OLDEST[1]} to 3.{NEWEST[1]}. "
        + (
            f"This machine has {' and '.join(found)}. Choose it with `make demo PYTHON={found[0]}`."
            if found
            else "Install one of these and choose it, for example with `make demo PYTHON=python3.12`."
        )
    )


def suitable_pythons() -> list:
    """Return the names of the supported Pythons on PATH, newest first."""
    names = [f"python3.{minor}" for minor in range(NEWEST[1], OLDEST[1] - 1, -1)]
    # The shim of a version manager may be on PATH without an installed Python, so the command is run.
    return [name for name in names if shutil.which(name) and runs(name)]


def runs(python: str) -> bool:
    """Return whether the command `python` runs."""
    return subprocess.call([python, "-c", ""], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0


def check_venv_module() -> None:
    """Raise BootstrapError if this Python can't create virtual environments, as on Debian by default."""
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        raise BootstrapError(
            f"{sys.executable} has no venv module. Install it (on Debian and Ubuntu, "
            f"`sudo apt install python3.{sys.version_info[1]}-venv`) or choose another Python, "
            "for example with `make demo PYTHON=python3.12`."
        ) from None


def check_disk(folder: str, free_bytes: float, already_there_bytes: float) -> None:
    """Raise BootstrapError if there is not enough disk space for an environment of about 8 GB."""
    missing = NEEDED_GIGABYTES - (free_bytes + already_there_bytes) / GIGABYTE
    if missing > 0:
        raise BootstrapError(
            f"Too little disk space in {folder}: the environment needs about {NEEDED_GIGABYTES:.0f} GB, "
            f"but only {free_bytes / GIGABYTE:.1f} GB are free. "
            f"Free {missing:.1f} GB more and run the same command again."
        )


def folder_size(folder: str) -> int:
    """Return the total size of the files below `folder` in bytes; 0 if it does not exist."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(path, name)).st_size
            except OSError:  # pip may remove a file meanwhile
                continue
    return total


def requirements_hash(root: str) -> str:
    """Return the SHA-256 of all requirement files; if it changes, the environment must be updated."""
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
        """Return whether the environment is up to date with the requirement files."""
        try:
            with open(self.stamp) as file:
                return file.read() == requirements_hash(self.root) and os.path.exists(self.python)
        except OSError:
            return False

    def works(self) -> bool:
        """Return whether the environment has pip and a supported version of Python."""
        test = f"import pip, sys; sys.exit(not {OLDEST} <= sys.version_info[:2] <= {NEWEST})"
        try:
            return subprocess.call([self.python, "-c", test], stderr=subprocess.DEVNULL) == 0
        except OSError:
            return False

    def create(self) -> None:
        """Create an empty environment with this Python, and replace an existing one."""
        check_python(sys.version_info[:3], sys.executable)
        check_venv_module()
        say(f"Creating a virtual environment with Python 3.{sys.version_info[1]} in {self.folder}")
        made = subprocess.run(
            [sys.executable, "-m", "venv", "--clear", self.folder],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        if made.returncode != 0:
            raise BootstrapError(
                f"{sys.executable} -m venv failed: {made.stdout.decode(errors='replace').strip()}"
            )

    def install(self, lock: int) -> None:
        """Install the pinned packages; pip inherits the file descriptor `lock`."""
        unpack_here = os.path.join(self.folder, "unpacking")  # /tmp is often too small for PyTorch
        os.makedirs(unpack_here, exist_ok=True)
        environment = {name: value for name, value in os.environ.items() if name not in LEADING_ASTRAY}
        environment.update(TMPDIR=unpack_here, PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_NO_INPUT="1")
        # Without resolution, since constraints.txt lists all packages (see include/laptop/lock.py).
        command = [self.python, "-m", "pip", "install", "--no-deps", "--no-compile", "--progress-bar", "off"]
        command += ["-r", os.path.join(self.root, "constraints.txt")]
        with open(self.log, "wb") as log:
            pip = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, env=environment, pass_fds=[lock]
            )
        progress = InstallProgress(self)
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
            raise BootstrapError(
                f"pip could not install the pinned packages (exit status {pip.returncode}). Its last lines:\n"
                f"{last_lines(self.log)}\nThe complete log is {self.log}."
            )

    def compile(self) -> None:
        """Compile all bytecode. Without it, each `airflow` command takes 12 s instead of 2.5 s."""
        say("Compiling bytecode")
        packages = os.path.join(self.folder, "lib")
        # Ignore the exit status, since some packages ship templates that are not valid Python.
        subprocess.call([self.python, "-W", "ignore", "-m", "compileall", "-q", "-q", "-j", "0", packages])

    def write_stamp(self, installed: str) -> None:
        """Record atomically that all packages are installed.

        :param installed: The :func:`requirements_hash` of the files that pip read.
        """
        with open(self.stamp + ".new", "w") as file:
            file.write(installed)
        os.replace(self.stamp + ".new", self.stamp)


class InstallProgress:
    """Show the progress of pip: a live line on a terminal, otherwise a plain line from time to time."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.live = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        self.began = self.reported = time.time()
        with open(os.path.join(environment.root, "constraints.txt")) as file:
            self.total = len({line.split("==")[0] for line in file if "==" in line})

    def line(self) -> str:
        """Return the current phase of pip and its progress."""
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
        """Return the number of installed packages, which pip does not report."""
        count = 0
        for path, folders, _ in os.walk(os.path.join(self.environment.folder, "lib")):
            if os.path.basename(path) == "site-packages":
                count += sum(1 for name in folders if name.endswith(".dist-info"))
                folders.clear()
        return count

    def show(self) -> None:
        """Print the progress if it is due."""
        if self.live:
            sys.stdout.write("\r\033[K" + self.line())
            sys.stdout.flush()
        elif time.time() - self.reported > 20:
            self.reported = time.time()
            say(self.line())

    def end(self) -> None:
        """Clear the live line."""
        if self.live:
            sys.stdout.write("\r\033[K")
            sys.stdout.flush()


def last_lines(path: str) -> str:
    """Return the last lines of a log, indented."""
    with open(path, errors="replace") as file:
        return "".join("    " + line for line in file.readlines()[-LAST_LINES:]).rstrip("\n")


def say(text: str) -> None:
    """Print a line without buffering."""
    print(text, flush=True)


def bootstrap(root: str) -> None:
    """Bring the environment of the repository folder `root` up to date with its requirement files."""
    environment = Environment(root)
    if environment.is_prepared():
        return
    # Lock the folder itself. pip inherits the lock, so that if this process is killed and pip continues, the next run
    # waits for pip.
    lock = os.open(root, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            say("Waiting for another setup of this folder to finish")
            fcntl.flock(lock, fcntl.LOCK_EX)
            if environment.is_prepared():
                return
        began = time.time()
        check_disk(root, shutil.disk_usage(root).free, folder_size(environment.folder))
        if not environment.works():
            environment.create()
        # Computed before pip reads the files, so that a `git pull` during the installation leads to another one.
        wanted = requirements_hash(root)
        say("Installing the pinned packages (a few minutes the first time)")
        environment.install(lock)
        environment.compile()
        environment.write_stamp(wanted)
        say(f"The environment is ready after {time.time() - began:.0f} s")
    finally:
        os.close(lock)


def main() -> int:
    """Set up the environment of this repository; return the exit status."""
    try:
        bootstrap(ROOT)
    except BootstrapError as problem:
        print(problem, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted. The same command continues where it stopped.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
