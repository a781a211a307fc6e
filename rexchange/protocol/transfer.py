"""Moving and copying messages from queue to queue, page by page; each page is a numbered call of a lane."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from rexchange.errors import InvalidArgument, PublishRefused
from rexchange.protocol.browse import PER_PAGE, check_ids, check_limit, match_form
from rexchange.protocol.call import Call, Reply

if TYPE_CHECKING:
    from rexchange.codec import Table

Verb = Literal["move", "copy"]


class Page(NamedTuple):
    """What one call did: messages brought over, ids dealt with, more/end/full, the bound, where to go on."""

    moved: int
    dealt: int
    state: str
    bound: str
    last: str


class Transfer:
    """One move or copy on its way. `page` makes the next call, `note` takes its answer, until `is_done`."""

    def __init__(
        self, verb: Verb, source: str, destination: str, *, limit: object, ids: object, headers: Table | None
    ) -> None:
        """Check what is asked for; raises InvalidArgument."""
        self._verb = verb
        self._source = source
        self._destination = destination
        if source == destination:
            raise InvalidArgument("destination", destination, f"another queue than {source!r}, the source")
        self._left = None if limit is None else check_limit(limit)
        self._ids = None if ids is None else check_ids(ids)
        self._match = match_form(headers)
        self._bound = ""
        self._first = "-"
        #: Messages brought over so far.
        self.count = 0
        self.is_done = self._ids == []

    def page(self, session: str, lane: str, call_number: int, token: str) -> Call[Page]:
        """Return the next call."""
        limit = PER_PAGE if self._left is None else min(self._left, PER_PAGE)
        head = (session, lane, call_number, token, self._verb, self._source, self._destination)
        ids = () if self._ids is None else self._ids[:PER_PAGE]
        return Call("move", (*head, self._first, self._bound, limit, self._match, *ids), _page)

    def note(self, page: Page) -> None:
        """Take the answer; raises PublishRefused where the destination takes no more."""
        self.count += page.moved
        self._bound = page.bound
        if page.state == "full":
            done = "moved" if self._verb == "move" else "copied"
            text = (
                f"queue {self._destination!r} is full: {self.count} {done}, it refuses the rest, which stays as it was"
            )
            raise PublishRefused(text, moved=self.count)
        if self._left is not None:
            self._left -= page.moved
        if self._ids is None:
            self.is_done = page.state == "end"
            self._first = f"({page.last}"
        else:
            self._ids = self._ids[page.dealt :]
            self.is_done = not self._ids
        self.is_done = self.is_done or self._left == 0


def _page(reply: Reply) -> Page:
    count, dealt, state, bound, last = reply.decode().split(" ")
    return Page(int(count), int(dealt), state, bound, last)
