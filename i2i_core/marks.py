"""YAML that remembers where each value was written, and that reads scalars as YAML 1.2 does.

PyYAML alone loads `1e-4` as a string and `on` as True, and lets the second of two equal keys win.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.reader import ReaderError

from i2i_core.errors import Mark, Problem, RecipeError

MAX_BYTES, MAX_NODES, MAX_DEPTH = 1 << 20, 20_000, 64
Path = tuple[str | int, ...]

_INT = re.compile(r"[-+]?[0-9]+(_[0-9]+)*")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(_[0-9]+)*(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: dict[str, Any] = {"": None, "~": None, "null": None, "true": True, "false": False, ".nan": float("nan"),
                          ".inf": float("inf"), "+.inf": float("inf"), "-.inf": float("-inf")}
_YAML, _PLAIN = "tag:yaml.org,2002:", ("map", "seq", "str")


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[Any, Any] = {}  # scalars are read by `scalar`, not by YAML 1.1's rules


@dataclass
class Document:
    """Plain data, and the mark of every key and value in it by its path."""

    file: str
    data: Any = None
    keys: dict[Path, Mark] = field(default_factory=dict)
    values: dict[Path, Mark] = field(default_factory=dict)

    def mark(self, path: Path, key: bool = False) -> Mark:
        """The mark of `path`, or of its nearest ancestor that was written."""
        marks = self.keys if key else self.values
        while path and path not in marks:
            path, marks = path[:-1], self.keys
        return marks.get(path, Mark(self.file))


def scalar(text: str) -> Any:
    """The value of a plain scalar as in YAML 1.2's core schema (decimal, and digits may be grouped: 100_000)."""
    word = _WORDS.get(text.lower(), text) if len(text) <= 5 else text
    if word is not text:
        return word
    if _INT.fullmatch(text) and len(text) <= 1000:  # Python reads no integer of thousands of digits
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def load_text(text: str, file: str) -> Document:
    """Read one YAML document; raises RecipeError for anything that is not plain data within the limits."""
    if len(text.encode(errors="surrogatepass")) > MAX_BYTES:
        raise RecipeError([Problem(f"a recipe may have at most {MAX_BYTES} bytes", Mark(file))])
    document = Document(file)
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise RecipeError([_syntax_problem(error, text, file)]) from None
    except RecursionError:
        raise RecipeError([Problem(f"a recipe may have at most {MAX_DEPTH} levels", Mark(file))]) from None
    if node is not None:
        reader = _Reader(document)
        document.data = reader.read(node, ())
        if reader.problems:
            raise RecipeError(reader.problems)
    return document


def _syntax_problem(error: yaml.YAMLError, text: str, file: str) -> Problem:
    if isinstance(error, ReaderError):
        before = text[: error.position].split("\n")
        mark = Mark(file, len(before), len(before[-1]) + 1)
        return Problem(f"not YAML: the character U+{ord(text[error.position]):04X} is not allowed", mark)
    assert isinstance(error, yaml.MarkedYAMLError)
    at = error.problem_mark or error.context_mark
    assert at is not None
    mark = Mark(file, at.line + 1, at.column + 1)
    line = (*text.split("\n"), "")[min(at.line, text.count("\n") + 1)]  # YAML knows more line breaks than \n
    if "\t" in line[: len(line) - len(line.lstrip())] or line[at.column : at.column + 1] == "\t":
        return Problem("a tab is used here; use spaces", mark)
    return Problem(f"not YAML: {', '.join(filter(None, (error.context, error.problem)))}", mark)


class _Reader:
    """Turns nodes into data; counts them after aliases, so that no small file becomes a huge recipe."""

    def __init__(self, document: Document) -> None:
        self.document, self.count, self.problems = document, 0, list[Problem]()

    def read(self, node: yaml.Node, path: Path) -> Any:
        mark = self.document.values[path] = self._mark(node)
        self.count += 1
        if self.count > MAX_NODES or len(path) > MAX_DEPTH:
            limit = f"{MAX_NODES} values" if self.count > MAX_NODES else f"{MAX_DEPTH} levels"
            raise RecipeError([Problem(f"a recipe may have at most {limit}", mark)])
        if not self._is_plain(node):
            return None
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.read(item, (*path, i)) for i, item in enumerate(node.value)]
        quoted = isinstance(node, yaml.ScalarNode) and node.style is not None
        return node.value if quoted else scalar(node.value)

    def _is_plain(self, node: yaml.Node) -> bool:
        plain = node.tag.removeprefix(_YAML) in _PLAIN
        if not plain:
            tag = node.tag.replace(_YAML, "!!", 1)
            self.problems.append(Problem(f"tags such as {tag} are not allowed in a recipe", self._mark(node)))
        return plain

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            mark, key = self._mark(key_node), key_node.value
            if not isinstance(key_node, yaml.ScalarNode):
                self.problems.append(Problem("a key must be a name", mark))
            elif not self._is_plain(key_node):
                continue
            elif key in data:
                first = self.document.keys[(*path, key)].line
                self.problems.append(Problem(f"the key {key} is given twice, first in line {first}", mark))
            else:
                self.document.keys[(*path, key)] = mark
                data[key] = self.read(value_node, (*path, key))
        return data

    def _mark(self, node: yaml.Node) -> Mark:
        return Mark(self.document.file, node.start_mark.line + 1, node.start_mark.column + 1)


def set_value(document: Document, assignment: str) -> None:
    """Apply one `--set a.b.c=value` in place; the value is read as YAML, missing mappings are made.

    A component that is written by its name alone becomes {use: name} when one of its keys is set.
    """
    name, equals, text = assignment.partition("=")
    origin = Mark(f"--set {assignment}")
    parts = name.strip().split(".")
    if not equals or not all(parts):
        raise RecipeError([Problem("write --set a.b.c=value", origin)])
    try:
        value = load_text(text, "").data
    except RecipeError as error:
        raise RecipeError([Problem(p.message, origin) for p in error.problems]) from None
    path: Path = ()
    here = document.data
    for part in parts[:-1]:
        key = _key(here, part, path, origin)
        path = (*path, key)
        child = here.get(key) if isinstance(here, dict) else here[key]
        if child is None:
            here[key] = {}
            document.keys[path] = origin
        elif isinstance(child, str):
            here[key] = {"use": child}
            document.values[(*path, "use")] = document.mark(path)
        here = here[key]
    key = _key(here, parts[-1], path, origin)
    here[key] = value
    path = (*path, key)
    for marks in (document.keys, document.values):
        for old in [p for p in marks if p[: len(path)] == path]:
            del marks[old]
        marks[path] = origin


def _key(here: Any, part: str, path: Path, origin: Mark) -> str | int:
    """`part` as a key of the mapping or an index of the list `here`, which is at `path`."""
    if isinstance(here, dict):
        return part
    name = ".".join(map(str, path))
    if not isinstance(here, list):
        raise RecipeError([Problem(f"{name} is {shown(here)}, which has no keys to set", origin)])
    if not part.isdecimal() or int(part) >= len(here):
        raise RecipeError([Problem(f"{name} is a list of {len(here)}, counted from 0; it has no item {part}", origin)])
    return int(part)


def shown(value: Any) -> str:
    """A value in a message, as a recipe would say it and not too long."""
    words = {None: "null", True: "true", False: "false"}
    text = words[value] if value is None or isinstance(value, bool) else repr(value)
    return text if len(text) <= 80 else f"{text[:76]} ..."
