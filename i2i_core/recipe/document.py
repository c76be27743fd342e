"""A YAML reader that records the position of every key and value, and reads scalars as YAML 1.2 does.

PyYAML alone loads `1e-4` as a string and `on` as True, and lets the second of two equal keys win.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.reader import Reader, ReaderError

from i2i_core.errors import MOST_PROBLEMS, Mark, Problem, Problems, RecipeError

MAX_BYTES, MAX_NODES, MAX_DEPTH = 1 << 20, 10_000, 64
Path = tuple[str | int, ...]

_INT = re.compile(r"[-+]?[0-9]+(_[0-9]+)*")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(_[0-9]+)*(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: dict[str, Any] = {
    "": None,
    "~": None,
    "null": None,
    "true": True,
    "false": False,
    ".nan": float("nan"),
    ".inf": float("inf"),
    "+.inf": float("inf"),
    "-.inf": float("-inf"),
}
_YAML = "tag:yaml.org,2002:"
_NOT_RAW = re.compile(rf"{Reader.NON_PRINTABLE.pattern}|[\x85\u2028\u2029]")
"""Characters that YAML refuses, or takes for the end of a line."""
_HALF = re.compile("[\ud800-\udfff]")
_PLAIN = (f"{_YAML}map", f"{_YAML}seq", f"{_YAML}str")


class _Loader(yaml.SafeLoader):
    """A composer of nodes that stops at the limits: each node of a text of a megabyte may take kilobytes."""

    yaml_implicit_resolvers: dict[Any, Any] = {}  # scalars are read by `scalar`, not by YAML 1.1's rules
    nodes = depth = tags = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        self.nodes += 1
        self.depth += 1
        self.tags += getattr(event, "tag", None) is not None
        if self.depth > MAX_DEPTH + 1:
            raise _TooLarge(f"{MAX_DEPTH} levels", event.start_mark)
        if self.nodes > 2 * MAX_NODES:  # of two nodes in a mapping, one is a key
            raise _TooLarge(f"{MAX_NODES} values", event.start_mark)
        if self.tags > MOST_PROBLEMS:
            raise _TooLarge(f"{MOST_PROBLEMS} tags, and none such as {event.tag}", event.start_mark)
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node


class _TooLarge(Exception):
    """More than is read, from a mark on."""

    def __init__(self, limit: str, at: yaml.Mark) -> None:
        self.limit, self.at = limit, at


@dataclass
class Document:
    """Plain data, the marks of its keys and values by path, and the problems found while reading it."""

    file: str
    data: Any = None
    keys: dict[Path, Mark] = field(default_factory=dict)
    values: dict[Path, Mark] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=Problems)

    def mark(self, path: Path, key: bool = False) -> Mark:
        """Return the mark of the value at `path` (with `key`: of its key), or of its nearest written ancestor."""
        if not key and path in self.values:
            return self.values[path]
        while path and path not in self.keys:
            path = path[:-1]
        return self.keys.get(path, Mark(self.file))


def scalar(text: str) -> Any:
    """Return the value of a plain scalar under YAML 1.2's core schema: decimal, with optional groups (100_000)."""
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if _INT.fullmatch(text) and len(text) <= 1000:  # Python refuses longer ones
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def load_text(text: str, file: str) -> Document:
    """Read one YAML document.

    Raises RecipeError for anything that is not plain data, or exceeds the limits on bytes, values and depth.
    """
    if len(text.encode(errors="surrogatepass")) > MAX_BYTES:
        raise RecipeError([Problem(f"a file may have at most {MAX_BYTES} bytes", Mark(file))])
    document = Document(file)
    try:
        node = yaml.compose(text, Loader=_Loader)
        if node is not None:
            document.data = _read(node, (), document)
    except yaml.YAMLError as error:
        raise RecipeError([_syntax_problem(error, text, file)]) from None
    except _TooLarge as large:
        mark = Mark(file, large.at.line + 1, large.at.column + 1)
        raise RecipeError([Problem(f"a file may have at most {large.limit}", mark)]) from None
    if document.problems:
        raise RecipeError(document.problems)
    return document


def json_in_yaml(value: Any, indent: int | None = None, default: Callable[[Any], Any] | None = None) -> str:
    """Write JSON that YAML reads as JSON does: its escapes are those of characters, where JSON's are of UTF-16."""
    return escaped(json.dumps(value, indent=indent, ensure_ascii=False, default=default))


def escaped(text: str) -> str:
    """Write characters that YAML does not read as they are as escapes."""
    return _NOT_RAW.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _syntax_problem(error: yaml.YAMLError, text: str, file: str) -> Problem:
    if isinstance(error, ReaderError):
        before = text[: error.position].split("\n")
        mark = Mark(file, len(before), len(before[-1]) + 1)
        return Problem(f"not YAML: the character U+{ord(text[error.position]):04X} is not allowed", mark)
    assert isinstance(error, yaml.MarkedYAMLError)
    at = error.problem_mark or error.context_mark
    assert at is not None
    mark = Mark(file, at.line + 1, at.column + 1)
    if text.startswith("\t", at.index):
        return Problem("a tab is used here; use spaces", mark)
    return Problem(f"not YAML: {', '.join(filter(None, (error.context, error.problem)))}", mark)


def _read(node: yaml.Node, path: Path, document: Document) -> Any:
    """Return the data of `node`. Aliases are expanded before counting, so that a small file cannot become huge."""
    mark = document.values[path] = _mark(node, document)
    if len(document.values) > MAX_NODES or len(path) > MAX_DEPTH:
        raise _TooLarge(f"{MAX_DEPTH} levels" if len(path) > MAX_DEPTH else f"{MAX_NODES} values", node.start_mark)
    _refuse_tag(node, document)
    if isinstance(node, yaml.SequenceNode):
        return [_read(item, (*path, i), document) for i, item in enumerate(node.value)]
    if isinstance(node, yaml.ScalarNode):
        value = node.value if node.style is not None else scalar(node.value)
        if isinstance(value, int) and abs(value) >= 2**64:
            document.problems.append(Problem(f"the number {_cut(node.value, 30)} takes more than 64 bits", mark))
        return value
    data: dict[str, Any] = {}
    for key_node, value_node in node.value:
        mark, key = _mark(key_node, document), key_node.value
        _refuse_tag(key_node, document)
        if not isinstance(key_node, yaml.ScalarNode):
            document.problems.append(Problem("a key must be a name", mark))
        elif _HALF.search(key):  # in a value it may be the name of a file that is no text
            document.problems.append(Problem("a key has half of a character, such as \\ud800", mark))
        elif key in data:
            first = document.keys[(*path, key)].line
            document.problems.append(Problem(f"the key {key} is given twice, first in line {first}", mark))
        else:
            document.keys[(*path, key)] = mark
            data[key] = _read(value_node, (*path, key), document)
    return data


def _refuse_tag(node: yaml.Node, document: Document) -> None:
    if node.tag not in _PLAIN:
        tag = node.tag.replace(_YAML, "!!", 1)
        document.problems.append(Problem(f"tags such as {tag} are not allowed", _mark(node, document)))


def _mark(node: yaml.Node, document: Document) -> Mark:
    return Mark(document.file, node.start_mark.line + 1, node.start_mark.column + 1)


def set_value(document: Document, assignment: str, origin: str = "") -> None:
    """Apply one `--set a.b.c=value`. The value is read as YAML; missing mappings are created.

    A component that is written as a bare name becomes {use: name} when one of its keys is set. origin: the source of
    the assignment in messages, if it is not the user's `--set`.
    """
    name, equals, text = assignment.partition("=")
    mark = Mark(origin or f"--set {name}{equals}{_cut(text, 60)}")
    parts = name.strip().split(".")
    if not equals or not all(parts):
        raise RecipeError([Problem("write --set a.b.c=value", mark)])
    try:
        parsed = load_text(text, "")
    except RecipeError as error:
        raise RecipeError([Problem(p.message, mark) for p in error.problems]) from None
    path: Path = ()
    holder: Any = [document.data]
    key: Any = 0
    for part in parts:
        if holder[key] is None:
            holder[key] = {}
        elif isinstance(holder[key], str):
            document.values[(*path, "use")] = document.mark(path)
            holder[key] = {"use": holder[key]}
        holder = holder[key]
        if isinstance(holder, dict):
            key = part
            holder.setdefault(key, None)
        elif isinstance(holder, list) and part.isdecimal() and int(part) < len(holder):
            key = int(part)
        else:
            what = (
                f"a list of {len(holder)}, counted from 0; it has no item {part}"
                if isinstance(holder, list)
                else f"{shown(holder)}, which has no keys to set"
            )
            raise RecipeError([Problem(f"{'.'.join(map(str, path))} is {what}", mark)])
        path = (*path, key)
        document.keys.setdefault(path, mark)
    holder[key] = parsed.data
    for marks, new in ((document.keys, parsed.keys), (document.values, parsed.values)):
        for old in [p for p in marks if p[: len(path)] == path]:
            del marks[old]
        marks |= {(*path, *inner): mark for inner in ((), *new)}


def shown(value: object) -> str:
    """Return a value as text for a message, in YAML's notation, cut at 80 characters."""
    words = {None: "null", True: "true", False: "false"}
    text = words[value] if value is None or isinstance(value, bool) else repr(value)
    return _cut(text, 80)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 4]} ..."
