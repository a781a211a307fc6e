"""`python -m rexchange.cli`, for where the script `rexchange` is not on the PATH."""

from rexchange.cli.app import app

app(prog_name="rexchange")
