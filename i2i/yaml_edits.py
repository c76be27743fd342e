"""Changes to the text of a recipe that keep its comments."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

Path = tuple[str, ...]


class RecipeText:
    """The text of a recipe, whose values are replaced one by one."""

    def __init__(self, text: str) -> None:
        self.text = text

    def numbers(self) -> Iterator[tuple[Path, str]]:
        """Yield the place and the text of each scalar that is not in a list."""
        yield from _scalars(yaml.compose(self.text, Loader=yaml.SafeLoader), ())

    def has(self, path: Path) -> bool:
        return self._find(path) is not None

    def replace(self, path: Path, value: str) -> None:
        """Replace a value on one line. Raises KeyError if it is missing."""
        key, node, _ = self._found(path)
        self.text = self.text[: node.start_mark.index] + value + self.text[node.end_mark.index :]

    def replace_lines(self, path: Path, lines: str) -> None:
        """Replace a key, with all that belongs to it, by lines; "" removes it."""
        key, _, after = self._found(path)
        start = self.text.rindex("\n", 0, key.start_mark.index) + 1 if key.start_mark.line else 0
        end = len(self.text) if after is None else self.text.rindex("\n", 0, after) + 1
        old = self.text[start:end].splitlines(keepends=True)
        while len(old) > 1 and (not old[-1].strip() or old[-1].startswith("#")):
            end -= len(old.pop())  # what stands above the next key
        self.text = self.text[:start] + (lines.rstrip("\n") + "\n" if lines else "") + self.text[end:]

    def insert_after(self, path: Path, line: str) -> None:
        """Insert a line below that of a key whose value is on one line."""
        _, node, _ = self._found(path)
        end = self.text.index("\n", node.end_mark.index) + 1
        self.text = self.text[:end] + line + "\n" + self.text[end:]

    def _found(self, path: Path) -> tuple[Any, Any, int | None]:
        found = self._find(path)
        if found is None:
            raise KeyError(".".join(path))
        return found

    def _find(self, path: Path) -> tuple[Any, Any, int | None] | None:
        """Return the nodes of a key and of its value, and the index where what follows begins."""
        node, key, after = yaml.compose(self.text, Loader=yaml.SafeLoader), None, None
        for name in path:
            pairs = node.value if isinstance(node, yaml.MappingNode) else []
            place = next((n for n, (own, _) in enumerate(pairs) if own.value == name), None)
            if place is None:
                return None
            if place + 1 < len(pairs):
                after = pairs[place + 1][0].start_mark.index
            key, node = pairs[place]
        return key, node, after


def _scalars(node: Any, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(node, yaml.ScalarNode):
        yield path, node.value
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _scalars(value, (*path, key.value))
