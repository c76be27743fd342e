"""YAML that remembers where each value was written, and that reads scalars as YAML 1.2 does.

PyYAML alone loads `1e-4` as a string and `on` as True, and lets the second of two equal keys win.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from i2i_core.errors import Mark, Problem, RecipeError

MAX_BYTES, MAX_NODES, MAX_DEPTH = 1 << 20, 20_000, 64
Path = tuple[str | int, ...]

_INT = re.compile(r"[-+]?[0-9][0-9_]*$")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9]*)?)([eE][-+]?[0-9]+)?$")
_WORDS: dict[str, Any] = {"": None, "~": None, "null": None, "true": True, "false": False,
                          ".inf": float("inf"), "-.inf": float("-inf"), ".nan": float("nan")}


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
    """The value of a plain scalar under YAML 1.2's core schema (digits may be grouped: 100_000)."""
    word = _WORDS.get(text.lower(), text) if len(text) <= 5 else text
    if word is not text:
        return word
    if _INT.match(text):
        return int(text)
    return float(text) if _FLOAT.match(text) else text


def load_text(text: str, file: str) -> Document:
    """Read one YAML document; raises RecipeError for anything that is not plain data within the limits."""
    if len(text.encode()) > MAX_BYTES:
        raise RecipeError([Problem(f"a recipe may have at most {MAX_BYTES} bytes", Mark(file))])
    document = Document(file)
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise RecipeError([_syntax_problem(error, text, file)]) from None
    except RecursionError:
        raise RecipeError([Problem(f"nested deeper than {MAX_DEPTH} levels", Mark(file))]) from None
    if node is not None:
        reader = _Reader(document)
        document.data = reader.read(node, ())
        if reader.problems:
            raise RecipeError(reader.problems)
    return document


def _syntax_problem(error: yaml.YAMLError, text: str, file: str) -> Problem:
    at = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if at is None:  # a character that YAML forbids
        return Problem(f"not YAML: {str(error).splitlines()[0]}", Mark(file))
    mark = Mark(file, at.line + 1, at.column + 1)
    lines = text.splitlines()
    if at.line < len(lines) and "\t" in lines[at.line][: at.column + 1]:
        return Problem("a tab is used for indentation; use spaces", mark)
    return Problem(f"not YAML: {getattr(error, 'problem', None) or error}", mark)


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
        if not node.tag.startswith("tag:yaml.org,2002:") or node.tag.rpartition(":")[2] not in ("map", "seq", "str"):
            self.problems.append(Problem(f"tags such as {node.tag} are not allowed in a recipe", mark))
            return None
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.read(item, (*path, i)) for i, item in enumerate(node.value)]
        quoted = isinstance(node, yaml.ScalarNode) and node.style is not None
        return node.value if quoted else scalar(node.value)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            mark, key = self._mark(key_node), key_node.value
            if not isinstance(key_node, yaml.ScalarNode):
                self.problems.append(Problem("a key must be a name", mark))
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
    """Apply one `--set a.b.c=value` in place; the value is read as YAML, missing mappings are made."""
    name, equals, text = assignment.partition("=")
    origin = Mark(f"--set {assignment}")
    if not equals or not name:
        raise RecipeError([Problem("write --set a.b.c=value", origin)])
    value = load_text(text, str(origin)).data
    path: Path = ()
    here = document.data
    *parents, last = name.strip().split(".")
    for part in parents:
        path = (*path, part)
        if isinstance(here, dict) and here.get(part) is None:
            here[part] = {}
            document.keys[path] = origin
        here = _child(here, part, origin)
    if isinstance(here, list) and last.isdigit() and int(last) < len(here):
        here[int(last)] = value
        path = (*path, int(last))
    elif isinstance(here, dict):
        here[last] = value
        path = (*path, last)
    else:
        raise RecipeError([Problem(f"{'.'.join(parents)} holds no keys to set", origin)])
    for marks in (document.keys, document.values):
        for old in [p for p in marks if p[: len(path)] == path]:
            del marks[old]
        marks[path] = origin


def _child(here: Any, part: str, origin: Mark) -> Any:
    if isinstance(here, list) and part.isdigit() and int(part) < len(here):
        return here[int(part)]
    if isinstance(here, dict):
        return here[part]
    raise RecipeError([Problem(f"there is nothing called {part} to set a value in", origin)])
