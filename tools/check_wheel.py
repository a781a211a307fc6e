"""Build the wheel, install it in a clean venv and use it there: what a user gets from PyPI.

A checkout hides what a wheel lacks (Lua files, py.typed, a dependency), so everything runs from an empty folder.
"""

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

#: Runs in the clean venv; argument 1 is the number of scripts in the checkout.
USE = """
import sys
from pathlib import Path

import rexchange
from rexchange import Broker, Message, scripts

package = Path(rexchange.__file__).parent
assert "site-packages" in package.parts, package
assert scripts.root() == package / "_lua", scripts.root()
assert (package / "py.typed").is_file(), "py.typed is missing"
linked = [scripts.load(name) for name in scripts.names()]
assert len(linked) == int(sys.argv[1]), [script.name for script in linked]

with Broker("memory://") as broker:
    broker.declare_queue("wheel")
    broker.publish_many([Message(b"hello", routing_key="wheel")])
    delivery = broker.get("wheel", auto_ack=False)
    assert delivery is not None
    assert delivery.body == b"hello", delivery
    delivery.ack()
print(f"rexchange {rexchange.__version__}: {len(linked)} scripts linked, one message published, got and acked")
"""


def run(title: str, *command: str | Path, cwd: Path) -> None:
    """Run a command and print its last words; leave with all of it if it fails."""
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"failed: {' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    words = [line.strip(" │") for line in done.stdout.splitlines() if any(map(str.isalnum, line))]
    print(f"  {title}: {words[-1] if words else 'done'}")


def main() -> None:
    """Build, install, use; exit 1 with the output of the step that failed."""
    with tempfile.TemporaryDirectory(prefix="rexchange-wheel-") as name:
        folder = Path(name)
        # No --wheel: the sdist is built first and the wheel from it, so both are tried.
        run("build", sys.executable, "-m", "build", "--outdir", folder / "dist", ROOT, cwd=folder)
        (wheel,) = (folder / "dist").glob("*.whl")
        venv.create(folder / "venv", with_pip=True)
        installed = folder / "venv" / "bin"
        wanted = f"{wheel}[embedded,testing]"
        pip: list[str | Path] = [installed / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        run("install in a clean venv", *pip, wanted, cwd=folder)
        empty = folder / "empty"
        empty.mkdir()
        script_count = len(list((ROOT / "lua").glob("*.lua")))
        run("use", installed / "python", "-I", "-c", USE, str(script_count), cwd=empty)
        run("command line", installed / "rexchange", "--help", cwd=empty)


if __name__ == "__main__":
    main()
