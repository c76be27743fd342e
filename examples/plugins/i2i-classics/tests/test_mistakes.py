"""Tests that mistakes in a recipe are reported in one sentence with their place, before training."""

from __future__ import annotations

import pytest

from i2i_core.errors import RecipeError

from .test_iterations import trained

PATCHGAN = "{use: classics/patchgan, width: 4, levels: 2, in_channels: %d}"


@pytest.mark.parametrize(
    ("recipe", "assignment", "said"),
    [
        (
            "cut.yaml",
            "data.targets=all",
            "classics/cut translates one domain into another, but data.targets does not name the two "
            "(write targets: {X: Y} with the names of the domains)",
        ),
        (
            "cut.yaml",
            "networks.projector={use: classics/projector, layers: 5}",
            "no loss uses heads.4.2.bias of network projector, so its size is not known",
        ),
        (
            "cut.yaml",
            "losses.generator.nce_x={use: classics/patch_nce, layers: []}",
            "losses.generator.nce_x.layers: list should have at least 1 item, not 0",
        ),
        (
            "cut.yaml",
            "losses.generator.nce_x.temperature=.inf",
            "losses.generator.nce_x.temperature should be a finite number, not inf",
        ),
    ],
)
def test_a_mistake_is_told_with_its_place(recipe: str, assignment: str, said: str) -> None:
    with pytest.raises(RecipeError) as error:
        trained(recipe, assignment)
    assert f"--set {assignment}: {said}" in str(error.value).splitlines()


def test_a_discriminator_of_other_channels_is_told_where_the_method_stands() -> None:
    with pytest.raises(RecipeError) as error:
        trained("cut.yaml", f"networks.discriminator={PATCHGAN % 6}")
    assert str(error.value).endswith(
        "recipes/cut.yaml:6:9: in the tensor real_logits: the discriminator takes 6 "
        "channels, but its input has 3; set its in_channels to 3"
    )


def test_pairs_that_a_data_set_does_not_have_are_told() -> None:
    with pytest.raises(RecipeError) as error:
        trained("pix2pix.yaml", "data.paired=false", "networks.generator.levels=5")
    assert str(error.value).endswith(
        ": nothing makes the tensor x_pair (the data set has no true pairs; leave out paired: false)"
    )
