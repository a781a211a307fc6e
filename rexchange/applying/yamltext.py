"""YAML, and in which line each of its keys stands. It needs PyYAML (the extra `yaml`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from rexchange.applying.places import Lines, Path, twice
from rexchange.definitions.jsontext import Wrong, shown

if TYPE_CHECKING:
    import yaml

_DEPTH = 40
_MOST = 100_000  # what aliases of aliases make of a small file


def loads(text: str) -> tuple[Mapping[str, object], Lines]:
    """Return what a text holds, and the lines of its keys. Raises Wrong with a line, and where PyYAML is missing."""
    try:
        import yaml  # noqa: PLC0415 - an extra
    except ImportError as error:
        words = "YAML is read by PyYAML, which is not installed: pip install 'rexchange[yaml]', or write it in TOML"
        raise Wrong(words) from error
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        lines: dict[Path, int] = {}
        if node is not None:
            _walk(node, (), lines)
        found: object = None if node is None else cast("Any", loader).construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = (mark.line + 1, mark.column + 1) if mark else (None, None)
        raise Wrong(f"no YAML: {error.problem or error}", *place) from error
    except (yaml.YAMLError, ValueError) as error:
        raise Wrong(f"no YAML: {error}") from error
    if found is None:
        return {}, {}
    if not isinstance(found, dict):
        raise Wrong(f"it is {shown(found)}: wanted exchanges, queues, bindings and policies", 1)
    return cast("dict[str, object]", found), lines


def _walk(node: yaml.Node, path: Path, lines: dict[Path, int]) -> None:
    """Note the lines of all keys; Wrong for one that stands twice, of which half would be lost without a word."""
    import yaml  # noqa: PLC0415 - as above

    line = node.start_mark.line + 1
    if len(path) > _DEPTH or len(lines) > _MOST:
        raise Wrong("it is nested too deeply", line)
    lines.setdefault(path, line)
    if isinstance(node, yaml.MappingNode):
        for key_node, value in node.value:
            key, line = str(key_node.value), key_node.start_mark.line + 1
            if (*path, key) in lines and key_node.tag != "tag:yaml.org,2002:merge":
                raise twice((*path, key), lines[*path, key], line)
            lines[*path, key] = line
            _walk(value, (*path, key), lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _walk(item, (*path, index), lines)
