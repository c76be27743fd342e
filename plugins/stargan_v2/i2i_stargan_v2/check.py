"""Checks of StarGAN v2 recipes that go beyond names and types."""

from __future__ import annotations

from i2i_core.errors import Problem
from i2i_core.recipe.sections import Recipe

WITH_STYLE = ("stargan_v2/generator", "stargan_v2/mapping_network", "stargan_v2/style_encoder")
STYLE_DIM = 64  # their default


def problems(recipe: Recipe) -> list[Problem]:
    """Return the problems of a recipe that uses `stargan_v2/method`.

    It reports networks that differ in `style_dim`, masks without a skip that uses them, and a skip that lacks the
    masks of `x_real` or `x_fake`.
    """
    generator = recipe.networks.get("generator")
    if recipe.method.use != "stargan_v2/method" or generator is None:
        return []
    found = []
    lengths = {
        name: use.params.get("style_dim", STYLE_DIM) for name, use in recipe.networks.items() if use.use in WITH_STYLE
    }
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
        found.append(
            Problem(
                f"the networks differ in style_dim: {listed}",
                recipe.mark("networks", key=True),
                "give all of them the same style_dim",
            )
        )
    skip = generator.params.get("skip") is not None
    for name, picture in (("masks", "x_real"), ("fake_masks", "x_fake")):
        if name in recipe.tensors and not skip:
            found.append(
                Problem(
                    f"tensors.{name} makes masks, but the generator has no skip that uses them",
                    recipe.mark("tensors", name, key=True),
                    "give networks.generator a skip, for example {use: fan_mask/high_pass}",
                )
            )
        if skip and name not in recipe.tensors:
            found.append(
                Problem(
                    f"the generator has a skip, but no tensors.{name} makes its masks",
                    recipe.mark("networks", "generator", "skip"),
                    f"add tensors.{name}, for example {{use: fan_mask/everywhere, of: {picture}}}",
                )
            )
    return found
