"""Every page of the documentation is played from top to bottom, in a folder of its own with a few pictures.

A page needs one convention: a block below a line that ends in a file's name and a colon (`light.py`:) is that file.
Other YAML is a recipe, or a part of one that replaces what the quick start says, a component as a whole. Other Python
is executed, a page in one namespace. Lines of `sh` blocks are commands, and a `text` block is what the command above it
prints, but for `...`. Training is cut to two steps (three when resumed) of small networks, and a dry run predicts the
memory without switches. A launcher's command runs in one process. A sweep prints its commands. What is imported is a
checkpoint of such networks, as the original of StarGAN v2 saves them.
"""

from __future__ import annotations

import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import click
import pytest
import torch
import yaml
from accelerate.state import AcceleratorState, GradientState
from PIL import Image

from i2i import runs
from i2i.runs import TrainedRun
from i2i_cli import memory_advice
from i2i_cli.main import cli
from i2i_core.plan.check import check_recipe, load
from i2i_core.recipe.document import load_text
from i2i_core.recipe.reading import find_recipe, parse_recipe
from i2i_core.recipe.sections import Recipe
from i2i_core.registry.plugins import discover
from i2i_core.training.assembly import build_networks
from tests.runs import TINY

ROOT = Path(__file__).resolve().parents[1]
DOCS = sorted((ROOT / "docs").glob("*.md"))
READMES = [ROOT / folder / "README.md" for folder in ("", "plugins/regularize", "examples/plugins/i2i-classics")]
PAGES = [*DOCS, *READMES]
LONG = ("export.md", "from-the-original.md")
"""Pages whose commands take half a minute; `make test-slow` runs them."""
METHODS = sorted(set((ROOT / "examples/plugins").glob("*/README.md")) - {*READMES})
"""Pages whose files come from long trainings; their plugins' own tests run the commands."""
NOT_RUN = (
    "git clone",
    "make ",
    "cd ",
    "python3 -m venv",
    "pip install -e . ",
    "pip install -e plugins/",
    "pip install i2i-gan",
    "python -m build",
    "twine ",
    "pytest ",
    "i2i push ",
    "i2i pull ",
    "i2i demo ",
)
"""What needs the network or a clean machine, tests, and the demo, which ends when it is told to; below, in test_new.py,
test_hub.py and test_demo_browser.py tests run them."""
FACE = ROOT / "plugins/fan_mask/tests/astronaut.png"
SMALL = (*TINY, "data.workers=0")
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
FILE = re.compile(r"`([\w./-]+\.\w+)`:\s*\Z")


class Block(NamedTuple):
    language: str
    file: str
    text: str


def blocks(page: Path) -> Iterator[Block]:
    text, end = page.read_text(encoding="utf-8"), 0
    for fence in FENCE.finditer(text):
        yield from indented(text[end : fence.start()])
        named = FILE.search(text[end : fence.start()])
        yield Block(fence[1], named[1] if named else "", fence[2])
        end = fence.end()
    yield from indented(text[end:])


def indented(text: str) -> Iterator[Block]:
    """The README's commands."""
    yield from (Block("sh", "", line) for line in re.findall(r"^    ((?:i2i|pip|make) .*)$", text, re.MULTILINE))


def over(recipe: Any, part: Any) -> Any:
    """`recipe` with what `part` says in its place, mapping by mapping, but a component as a whole."""
    if not isinstance(recipe, Mapping) or not isinstance(part, Mapping) or "use" in part:
        return part
    return {**recipe, **{key: over(recipe.get(key), value) for key, value in part.items()}}


class Session:
    """The folder in which a page is played."""

    def __init__(self, folder: Path, i2i: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.i2i, self.printed, self.names = folder, i2i, "", dict[str, Any]()
        monkeypatch.setattr(runs, "train", partial(self.train, runs.train))
        monkeypatch.setattr(memory_advice, "switches", lambda _: [])
        monkeypatch.chdir(folder)
        monkeypatch.syspath_prepend(folder / "site-packages")
        monkeypatch.setattr(sys, "dont_write_bytecode", True)  # files are rewritten within a second
        for name in ("photo.png", "other.png"):
            Image.effect_noise((60, 40), 50).convert("RGB").save(folder / name)
        for root in ("photos", "data/afhq"):
            for part, domain in ((p, d) for p in ("train", "val") for d in ("cat", "dog", "wild")):
                place = folder / root / part / domain
                place.mkdir(parents=True)
                for n in range(2):
                    Image.effect_noise((40, 40), 20 + 20 * n).convert("RGB").save(place / f"{n}.png")
        for name in (
            "me.jpg",
            *(f"people/{part}/{domain}/1.jpg" for part in ("train", "val") for domain in ("female", "male")),
        ):
            photograph = Image.new("RGB", (600, 400), "grey")
            photograph.paste(Image.open(FACE), (300, 100))
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            photograph.save(folder / name)

    def play(self, block: Block) -> None:
        if block.file:
            Path(block.file).parent.mkdir(parents=True, exist_ok=True)
            Path(block.file).write_text(block.text, encoding="utf-8")
        elif block.language == "yaml":
            self.check(block.text)
        elif block.language == "python":
            exec(compile(block.text, "block", "exec"), self.names)
        elif block.language == "sh":
            for line in block.text.replace("\\\n", " ").splitlines():
                self.command(line)
        elif block.language == "text":
            lines = iter(self.printed.splitlines())
            missing = [line for line in block.text.splitlines() if line.strip() != "..." and line.rstrip() not in lines]
            assert missing == [], f"not printed, or not in this order; printed was:\n{self.printed}"
        else:
            raise AssertionError(f"blocks of {block.language} are not tested")

    def train(self, real: Callable[..., TrainedRun], *recipe: Any, set: Mapping[str, Any], **how: Any) -> TrainedRun:
        """i2i.train, cut short as the command is."""
        small = {name: yaml.safe_load(value) for name, _, value in (change.partition("=") for change in SMALL)}
        begun = "resume" in how or "start_from" in how  # of a small recipe
        steps = {"steps": 3} if begun else {**small, "steps": 2}
        return real(*recipe, set={**set, **steps}, **how)

    def check(self, text: str) -> None:
        """A recipe, or a part of one over the quick start's."""
        plugins = discover(files=tuple(p for p in self.folder.glob("*.py") if "hookimpl" in p.read_text()))
        if not text.startswith("i2i: 1"):
            quick = load_text(plugins.recipes()["stargan_v2.yaml"].read_text(), "quick").data
            text = yaml.safe_dump(over(quick, load_text(text, "part").data), sort_keys=False)
        check_recipe(parse_recipe(text, "block.yaml"), plugins)

    def checkpoint(self, file: str) -> None:
        """Of untrained networks for the three domains."""
        sets = [value for value in SMALL if not value.startswith("hooks.")]
        checked = load("stargan_v2_afhq.yaml", sets, discover())
        facts = {"image_size": checked.recipe.data.image_size, "num_domains": 3}
        nets = {
            name: {f"module.{key}": tensor for key, tensor in network.state_dict().items()}
            for name, network in build_networks(checked, facts, 0).items()
            if name != "discriminator"
        }
        torch.save(nets, self.folder / file)

    def command(self, line: str) -> None:
        words = shlex.split(line, comments=True)
        if not words or any(f"{' '.join(words)} ".startswith(known) for known in NOT_RUN):
            return
        if words[:3] == ["pip", "install", "-e"]:
            self.install(words[3])
            return
        if words[1:3] == ["import", "stargan-v2"]:
            self.checkpoint(words[3])
        if words[0] in ("accelerate", "torchrun"):
            words = ["i2i", *words[words.index("i2i_cli") + 1 :]]
        assert words[0] == "i2i", f"run this, or say in NOT_RUN why not: {line}"
        AcceleratorState._reset_state(True)
        GradientState._reset_state()
        if words[1] == "sweep":
            words.append("--print")
        answer = self.i2i(*(self.shortened(words[1:]) if words[1] == "train" else words[1:]))
        self.printed = answer.err + answer.out
        assert answer.code == 0, f"{line}\n{self.printed}"

    def install(self, project: str) -> None:
        """What pip would, without the network, from a copy in which it may build."""
        shutil.copytree(ROOT / project if (ROOT / project).is_dir() else project, "build", dirs_exist_ok=True)
        subprocess.run(
            [
                sys.executable,
                "-m",
                "pip",
                "install",
                "-q",
                "--no-index",
                "--no-deps",
                "--no-build-isolation",
                "--target",
                "site-packages",
                "./build",
            ],
            check=True,
        )
        shutil.rmtree("build")
        importlib.invalidate_caches()

    def shortened(self, words: list[str]) -> list[str]:
        if "--resume" in words:
            return [*words, "--set", "steps=3"]
        if "--from" in words and "--recipe" not in words:
            return [*words, "--set", "steps=2"]
        recipe = find_recipe(words[words.index("--recipe") + 1], discover().recipes()).read_text()
        sets = SMALL if "stargan_v2/generator" in recipe else ("hooks.true_pairs=null",)
        return ["train", *(word for value in sets for word in ("--set", value)), *words[1:], "--set", "steps=2"]


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=pytest.mark.slow) if page.name in LONG else page for page in PAGES],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_what_a_page_shows_works(
    page: Path, tmp_path: Path, i2i: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = set(sys.modules)
    session = Session(tmp_path, i2i, monkeypatch)
    try:
        for block in blocks(page):
            session.play(block)
    finally:
        for name in set(sys.modules) - before:  # the page's own modules
            if str(getattr(sys.modules[name], "__file__", None)).startswith(str(tmp_path)):
                del sys.modules[name]


@pytest.mark.slow
def test_the_tutorials_package_passes_its_own_tests(
    tmp_path: Path, i2i: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session(tmp_path, i2i, monkeypatch)
    for block in blocks(ROOT / "docs" / "plugins.md"):
        if block.file:
            session.play(block)
    session.install("i2i-palette")
    subprocess.run(
        [sys.executable, "-m", "pytest", "i2i-palette"],
        check=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site-packages")},
    )


@pytest.mark.parametrize("page", [*PAGES, *METHODS], ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_in_the_text_have_subcommands_and_options_that_there_are(page: Path) -> None:
    for inline in re.findall(r"`(i2i [^`\n]+)`", page.read_text(encoding="utf-8")):
        understood(inline)


@pytest.mark.parametrize("page", METHODS, ids=lambda page: page.parent.name)
def test_commands_of_a_method_have_options_and_recipes_that_there_are(page: Path) -> None:
    shown = [block.text for block in blocks(page) if block.language == "sh"]
    lines = [line for text in shown for line in text.splitlines() if line.startswith("i2i ")]
    assert {"train", "translate"} <= {line.split()[1] for line in lines}
    for line in lines:
        understood(line)
        words = shlex.split(line, comments=True)
        if "--recipe" in words:
            assert words[words.index("--recipe") + 1] in discover().recipes()


def understood(line: str) -> None:
    """Parse a command; fails for a subcommand or an option that there is not."""
    words, command = shlex.split(line, comments=True)[1:], cli
    while isinstance(command, click.Group) and words:
        command = command.get_command(click.Context(command), words.pop(0))
    assert command is not None, f"there is no such subcommand: {line}"
    try:
        command.make_context("i2i", words)
    except click.NoSuchOption as error:
        raise AssertionError(f"{line}: {error}") from error
    except click.UsageError:  # NAME and the like are nobody's name
        pass


def test_every_flag_of_the_original_has_a_key_that_the_page_tries() -> None:
    page = (ROOT / "docs" / "from-the-original.md").read_text(encoding="utf-8")
    keys = re.findall(r"^\| `--.*? \| `([a-z]\S*)` \|", page, re.MULTILINE)
    assert len(keys) >= 22
    tried = re.findall(r"--set '?([\w.]+)=", page)
    assert [key for key in keys if not any(f"{key}.".startswith(f"{known}.") for known in tried)] == []


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The documentation, built as `make docs` does; a broken link, anchor or a page outside the nav fails it."""
    pytest.importorskip("mkdocs", reason="make docs and make test install it")
    folder = tmp_path_factory.mktemp("docs") / "site"
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    return folder


def test_the_documentation_loads_nothing_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) >= len(DOCS)
    for page in pages:
        loaded = re.findall(r'<(?:script|link|img|iframe)[^>]+(?:src|href)="([^"]*)"', page.read_text())
        assert loaded and not [url for url in loaded if re.match(r"(https?:)?//", url)]


def test_generated_parts_are_filled_in(site: Path) -> None:
    events, reference = (site / "events.html").read_text(), (site / "reference.html").read_text()
    assert "<!-- generated" not in events + reference
    for name in (
        "i2i_components",
        "i2i_check",
        "run_start",
        "run_end",
        "registry.dataset",
        "run.eval_networks",
        "record(domain: int",
        "encode(fitted",
    ):
        assert name in events
    for name in (
        "batch_size",
        "stargan_v2/generator",
        "gan/hinge",
        "earth/tiles",
        "fan_mask/high_pass",
        "Sources.translated",
        "mean_style(y)",
    ):
        assert name in reference


def test_every_key_of_a_recipe_is_described() -> None:
    """By the docstring below it, or that of the model that it holds; the reference shows them."""
    whole = Recipe.model_json_schema()
    models = {"Recipe": whole, **whole["$defs"]}
    assert len(models) >= 6
    assert [
        f"{name}.{key}"
        for name, model in models.items()
        for key, schema in model["properties"].items()
        if not {"description", "$ref"} & schema.keys()
    ] == []
