"""Write docs/rexchange.acl: for each user the commands of the scripts that it runs: `python tools/acl.py [--check]`.

Redis checks the commands inside a script, too, so a script's user needs all that any branch of it may call.
"""

import re
import sys
from pathlib import Path

from rexchange import scripts

FILE = Path(__file__).resolve().parent.parent / "docs" / "rexchange.acl"
USERS = {
    "publisher": ("open_vhost", "publish"),
    "consumer": ("open_vhost", "consume", "take", "settle", "extend", "cancel", "restore", "seek", "session", "tick"),
    "operator": scripts.names(),
}
EVERYBODY = ("hello", "ping", "select", "info", "evalsha", "script|load")
# WAITAOF is not among them: a server that does not know a command refuses the whole file.
PUBLISHERS = ("wait",)
READERS = ("client|id", "client|unblock", "xread", "xreadgroup")
_CALLED = re.compile(r'(?:\bcall\(\n?|\{ ?)"([A-Z]{3,})"(?:, "([A-Z]+)")?')
_WITH_SUBCOMMANDS = ("XINFO", "XGROUP")


def commands(script: str) -> set[str]:
    """Return the commands that a script may call, as ACLs name them."""
    text = scripts.load(script).text.decode()
    return {
        f"{name}|{sub}".lower() if name in _WITH_SUBCOMMANDS else name.lower() for name, sub in _CALLED.findall(text)
    }


def line(user: str) -> str:
    """Return a user's line."""
    own = {"publisher": PUBLISHERS, "consumer": READERS, "operator": (*PUBLISHERS, *READERS)}[user]
    wanted = sorted({*EVERYBODY, *own, *(name for script in USERS[user] for name in commands(script))})
    words = " ".join(f"+{name}" for name in wanted)
    return f"user {user} on >change-me-{user} ~rx:{{/}}:* resetchannels -@all {words}"


def text() -> str:
    """Return the file."""
    return "\n".join(["user default off", *(line(user) for user in USERS)]) + "\n"


def main() -> int:
    """Return 1 where the file is stale."""
    if "--check" in sys.argv[1:]:
        if FILE.read_text() == text():
            return 0
        sys.stderr.write(f"{FILE} is stale: run python tools/acl.py\n")
        return 1
    FILE.write_text(text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
