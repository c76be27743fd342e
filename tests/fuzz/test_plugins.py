"""A plugin may do whatever it likes: what it does wrong is a sentence that names it, and no traceback."""

from __future__ import annotations

import json
import random
from pathlib import Path

from i2i_core.errors import I2IError
from i2i_core.plan.check import load
from i2i_core.registry.plugins import discover

from .conftest import Tally
from .scale import times

ODD = (
    "None", "3", "'text'", "b'x'", "[]", "[None]", "{}", "{'a': 1}", "object()", "lambda *a, **k: 1", "print", "int",
    "float('nan')", "iter(())", "(yield)", "Exception", "registry",
)  # fmt: skip
RAISED = (
    "ValueError('bad')", "KeyError('bad')", "SystemExit(3)", "GeneratorExit()",
    "StopIteration()",
    "BaseException('bad')", "RecursionError()", "MemoryError()", "ImportError('no module')", "AssertionError()",
    "OSError(2, 'none')", "UnicodeDecodeError('utf-8', b'x', 0, 1, 'bad')",
)  # fmt: skip
KINDS = (
    "network",
    "loss",
    "tensor",
    "hook",
    "dataset",
    "optimizer",
    "schedule",
    "transform",
    "format",
    "trainer",
    "method",
)
NAMES = ("'thing'", "''", "'a/b'", "'../x'", "None", "3", "'x' * 1000", "'\\ud800'", "'thing'")
TARGETS = (
    "'mine:Thing'",
    "'os:system'",
    "'mine:missing'",
    "'no_such_module:x'",
    "''",
    "None",
    "'mine'",
    "'::'",
    "Thing",
    "3",
)


def source(chance: random.Random) -> str:
    """Return the text of a plugin in one file that does a few odd things."""
    odd = lambda: chance.choice([f"return {value}" for value in ODD] + [f"raise {error}" for error in RAISED])  # noqa: E731
    lines = ["from i2i_core import hookimpl", "class Thing:", "    def __init__(self, *, size: int = 3): pass"]
    if not chance.randrange(6):
        lines.insert(chance.randrange(len(lines)), f"raise {chance.choice(RAISED)}")
        lines = [line for line in lines if not line.startswith("    ")] if lines[-1].startswith("raise") else lines
    components = [
        f"    registry.{chance.choice(KINDS)}({chance.choice(NAMES)}, {chance.choice(TARGETS)})"
        for _ in range(chance.randrange(3))
    ]
    for hook, argument in (("components", "registry"), ("commands", "group"), ("check", "check"), ("recipes", "")):
        if chance.randrange(3):
            body = components if hook == "components" and components else []
            lines += [
                "@hookimpl",
                f"def i2i_{hook}({argument}):",
                *body,
                f"    {odd()}" if chance.randrange(3) else "    pass",
            ]
    if not chance.randrange(8):
        lines.insert(
            chance.randrange(len(lines)),
            chance.choice(("x = (", "\tx", "def f(:", "return 3", "import nothing_of_this_name")),
        )
    return "\n".join(lines) + "\n"


def test_plugins_in_one_file(tmp_path: Path, tally: Tally) -> None:
    chance, tally.what = random.Random(1), "plugins"
    path, recipe = tmp_path / "mine.py", tmp_path / "recipe.yaml"
    for number in range(times(2_000)):
        text = source(chance)
        path.write_text(text, encoding="utf-8")
        recipe.write_text(json.dumps({"i2i": 1, "steps": 1, "method": "mine/thing"}), encoding="utf-8")
        try:
            with tally.one():
                said = _told(path, recipe)
                if said:
                    tally.refuse()
            assert len(said) < 20_000
        except BaseException as error:
            raise AssertionError(f"number {number}:\n{text}\n{type(error).__name__}") from error


def _told(path: Path, recipe: Path) -> str:
    """Load a plugin and a recipe that uses it; return the reason if that is refused."""
    try:
        load(str(recipe), [], discover(files=(path,)))
    except I2IError as error:
        return str(error)
    return ""
