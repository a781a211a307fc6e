"""The command line: `rexchange --help`."""

from rexchange.cli.app import app

__all__ = ["app"]
