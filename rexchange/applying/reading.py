"""A topology file, a mapping or a value -> what is wanted: read whole, and all that is wrong with it told at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import cast

from rexchange.applying import making, rows, tomltext, yamltext
from rexchange.applying.checking import check
from rexchange.applying.places import KINDS, Lines, Path, line_of, place_of
from rexchange.applying.rows import KEYS, Row
from rexchange.arguments import OPTION_NAMES
from rexchange.definitions import Topology
from rexchange.definitions.jsontext import Wrong, shown
from rexchange.definitions.values import binding_name
from rexchange.errors import DefinitionsError, InvalidArgument, Problem, TopologyError
from rexchange.policies import Policy
from rexchange.topology import Binding, Exchange, Queue

_FORMS: Mapping[str, Callable[[str], tuple[Mapping[str, object], Lines]]] = {
    ".toml": tomltext.loads,
    ".yaml": yamltext.loads,
    ".yml": yamltext.loads,
}
FORMS = tuple(_FORMS)
_ALONE = {*OPTION_NAMES, "durable", "auto_delete", "internal"} - {"dead_letter_exchange", "queue_type"}
"""Keys that can be left out without making another one wrong."""
Value = Exchange | Policy | Queue | Binding


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be there, and where in the file each thing stands, by kind and name (a binding by `place_of`)."""

    topology: Topology
    lines: Mapping[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    file: str = ""


def read(source: object, *, file: str = "", form: str = "") -> Wanted:
    """Read a Topology, a mapping, or the bytes of a file of one of FORMS.

    Raises DefinitionsError that lists everything that is wrong, InvalidArgument for what is none of these.
    """
    reader = _Reader(file)
    try:
        if isinstance(source, Topology):
            reader.values(source)
        else:
            reader.sections(*_loaded(source, form))
    except Wrong as error:
        reader.problems.append(error.problem)
    wanted = Wanted(reader.topology(), reader.lines, file)
    reader.problems += check(wanted.topology, wanted.lines)
    if reader.problems:
        raise DefinitionsError(sorted(reader.problems, key=lambda each: each.line or 0), file=file)
    return wanted


def _loaded(source: object, form: str) -> tuple[Mapping[str, object], Lines]:
    if isinstance(source, Mapping):
        return cast("Mapping[str, object]", source), {}
    if not isinstance(source, bytes):
        wanted = "a Topology, a Path to a file of TOML or YAML, or a mapping of the same form"
        raise InvalidArgument("topology", source, wanted)
    if form not in _FORMS:
        raise Wrong(f"its name ends in {form!r}: wanted one of {', '.join(FORMS)}")
    try:
        text = source.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = source.count(b"\n", 0, error.start) + 1
        raise Wrong(f"no UTF-8: the byte 0x{source[error.start]:02x} begins no character", line, 1) from error
    return _FORMS[form](text)


class _Reader:
    """Gathers what is there, and everything that is wrong."""

    def __init__(self, file: str) -> None:
        self.problems: list[Problem] = []
        self.lines: dict[tuple[str, str], int] = {}
        self._file = file
        self._found: list[Value] = []
        self._places: Lines = {}

    def topology(self) -> Topology:
        """Return what was found."""
        found = self._found
        return Topology(
            tuple(each for each in found if isinstance(each, Exchange)),
            tuple(each for each in found if isinstance(each, Policy)),
            tuple(each for each in found if isinstance(each, Queue)),
            tuple(each for each in found if isinstance(each, Binding)),
        )

    def values(self, topology: Topology) -> None:
        """Take values, which may have been made of anything."""
        self._each("exchange", topology.exchanges, Exchange, making.exchange)
        self._each("policy", topology.policies, Policy, making.policy)
        self._each("queue", topology.queues, Queue, making.queue)
        self._each("binding", topology.bindings, Binding, making.binding)

    def _each(self, kind: str, values: Iterable[object], of: type, make: Callable[..., Value]) -> None:
        for index, value in enumerate(values):
            if not isinstance(value, of):
                article = "an" if kind == "exchange" else "a"
                self._wrong(kind, f"#{index}", Wrong(f"it is {value!r:.60}: give {article} {of.__name__}"), ())
                continue
            name = binding_name(value) if isinstance(value, Binding) else str(cast("Queue", value).name)
            try:
                self._found.append(make(value))
            except (Wrong, InvalidArgument, TopologyError) as error:
                self._wrong(kind, name, error, ())

    def sections(self, content: Mapping[str, object], places: Lines) -> None:
        """Take what was read of a file."""
        self._places = places
        for word in content:
            if word not in KEYS:
                problem = Wrong(rows.unknown(str(word), tuple(KEYS)))
                self._wrong("", "", problem, (str(word),))
        for section, take in _TAKERS.items():
            for row in self._rows(section, content.get(section)):
                self._take(row, take)

    def _rows(self, section: str, value: object) -> list[Row]:
        if value is None:
            return []
        listed = section == "bindings"
        if not isinstance(value, list if listed else Mapping):
            how = f"give a list: [[{section}]]" if listed else f"give tables: [{section}.name]"
            self._wrong("", "", Wrong(f"{section} is {shown(value)}: {how}"), (section,))
            return []
        items: Iterable[tuple[object, object]] = (
            enumerate(cast("list[object]", value)) if listed else cast("Mapping[object, object]", value).items()
        )
        found: list[Row] = []
        for key, given in items:
            path: Path = (section, key if isinstance(key, int) and listed else str(key))
            name = "" if listed else str(key)
            raw: object = {} if given is None else given  # a queue with nothing to say of it, in YAML
            if not listed and not isinstance(key, str):
                self._wrong(KINDS[section], name, Wrong(f"its name is {shown(key)}: put it in quotes"), path)
            elif not isinstance(raw, Mapping):
                self._wrong(KINDS[section], name, Wrong(f"it is {shown(raw)}: give a table"), path)
            else:
                found.append(Row(path, name, cast("Mapping[str, object]", raw)))
        return found

    def _take(self, row: Row, take: Callable[[Row], Value]) -> None:
        """Read one object; what is wrong with it does not keep the others from being read."""
        kind = KINDS[row.section]
        for word in row.raw:
            if word not in KEYS[row.section]:
                error = Wrong(rows.unknown(str(word), KEYS[row.section]))
                self._wrong(kind, row.called, error, (*row.path, str(word)))
        before, left = len(self.problems), row
        while True:
            try:
                value = take(left)
                break
            except (Wrong, InvalidArgument, TopologyError) as error:
                at = self._at(left, error)
                self._wrong(kind, row.called, error, (*row.path, *at))
                if at[0] not in _ALONE:
                    return
                # Without it there may be more that is wrong.
                left = replace(left, raw={key: given for key, given in left.raw.items() if key != at[0]})
        if len(self.problems) > before:
            return
        self._found.append(value)
        line = line_of(self._places, row.path)
        if line is not None:
            place = place_of(value) if isinstance(value, Binding) else (kind, row.name)
            self.lines.setdefault(place, line)

    def _at(self, row: Row, error: Exception) -> Path:
        """Return the key of a row that an error is about, as far as it says so."""
        argument = getattr(error, "argument", None) or str(error).partition(" is ")[0].partition("[")[0]
        option = next((option for option, of in OPTION_NAMES.items() if of == argument), argument)
        return (option,) if option in row.raw else ("arguments", argument)

    def _wrong(self, kind: str, name: str, error: Exception, path: Path) -> None:
        line = line_of(self._places, path)
        called = f"{kind} {name!r}" if kind != "binding" else f"binding {name}"
        said = str(error)
        subject = "" if not kind or said.startswith(called) else f"{called}: "
        where = "" if line is None else f"line {line}: "
        self.problems.append(Problem(f"{where}{subject}{said}", kind, name=name, line=line))


_TAKERS: Mapping[str, Callable[[Row], Value]] = {
    "exchanges": rows.read_exchange,
    "policies": rows.read_policy,
    "queues": rows.read_queue,
    "bindings": rows.read_binding,
}
