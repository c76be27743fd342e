"""The documentation says what the code does: its recipes are valid and none of the core's keys is left out."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from i2i_core.errors import RecipeError
from i2i_core.plan.check import check_recipe
from i2i_core.recipe.document import load_text
from i2i_core.recipe.reading import parse_recipe
from i2i_core.recipe.sections import Augment, Data, Network, Phase, Recipe, Term
from i2i_core.registry.plugins import discover

ROOT = Path(__file__).resolve().parents[1]
(PAGE,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "recipe.md").read_text(), re.DOTALL)


def test_the_recipe_of_the_page_is_valid() -> None:
    checked = check_recipe(parse_recipe(PAGE, "docs/recipe.md"), discover())
    assert checked.recipe.steps == 100_000


@pytest.mark.parametrize(
    ("section", "model"),
    [
        ((), Recipe),
        (("data",), Data),
        (("data", "augment"), Augment),
        (("losses", "discriminator", "r1"), Term),
        (("phases", "d_latent"), Phase),
        (("networks", "discriminator"), Network),
    ],
)
def test_the_page_names_every_key_of_the_core(section: tuple[str, ...], model: Any) -> None:
    written = load_text(PAGE, "docs/recipe.md").data
    for key in section:
        written = written[key]
    assert model.model_fields.keys() <= written.keys()


def test_the_page_shows_how_pictures_are_changed_by_default() -> None:
    assert Augment.model_validate(load_text(PAGE, "docs/recipe.md").data["data"]["augment"]) == Augment()


def test_the_swapped_and_the_own_loss_of_the_readme_are_valid(tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text()
    (swapped,) = (part for part in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if "gan/hinge" in part)
    (own,) = re.findall(r"`my_losses.py`:\n\n```python\n(.*?)```", text, re.DOTALL)
    (assignment,) = re.findall(r"--plugin my_losses.py --set '(.*?)'", text)
    (tmp_path / "my_losses.py").write_text(own)
    plugins = discover(files=(tmp_path / "my_losses.py",))
    sets = [
        f"losses.{group}.{name}={json.dumps(use)}"
        for group, terms in load_text(swapped, "README.md").data["losses"].items()
        for name, use in terms.items()
    ]
    quick = plugins.recipes()["stargan_v2.yaml"]
    checked = check_recipe(parse_recipe(quick.read_text(), "r.yaml", [*sets, assignment]), plugins)
    players = [checked.losses[group, "adversarial"] for group in ("discriminator", "generator")]
    assert [player.entry.name for player in players] == ["gan/hinge", "gan/hinge"]
    brightness = checked.losses["generator", "brightness"]
    black, white = torch.zeros(1, 3, 4, 4), torch.ones(1, 3, 4, 4)
    assert brightness.target(black, white, **brightness.params) == 1
    del sys.modules["my_losses"]  # another test's file of that name would hide it


def test_the_mistakes_of_the_readme_are_told_as_it_says(tmp_path: Path) -> None:
    said = re.findall(r"^    (my_recipe\.yaml:.*)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    text = discover().recipes()["stargan_v2.yaml"].read_text()
    text = text.replace("style: {use: stargan_v2/style,", "style: {use: stargan_v2/stlye,")
    text = text.replace("mapping_network, style_encoder]\n    losses", "mapping_network, style_encodr]\n    losses")
    with pytest.raises(RecipeError) as error:
        check_recipe(parse_recipe(text, "my_recipe.yaml"), discover())
    assert str(error.value).splitlines() == said
