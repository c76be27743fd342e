"""Which domains are translated into which, where the recipe names them."""

from __future__ import annotations

from pathlib import Path

import pytest

from i2i_core.errors import RecipeError

from .runs import assert_same_bits, train


def test_a_run_of_one_direction_draws_and_measures_that_one_alone(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    one = ("data.targets={flat: high_contrast}", "steps=1", "hooks.true_pairs={use: true_pairs, phase: g_latent}")
    train(folder, *one)
    assert list((folder / "eval").glob("*.json")) != []
    assert '"flat -> high_contrast"' in (folder / "eval" / "true_pairs.json").read_text()
    assert '"high_contrast -> flat"' not in (folder / "eval" / "true_pairs.json").read_text()
    train(tmp_path / "again", recipe=folder / "recipe.yaml")  # the resolved recipe says it too
    assert_same_bits(folder, tmp_path / "again")


def test_directions_between_domains_that_are_not_there_are_told_with_their_place(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as error:
        train(tmp_path / "run", "data.targets={flat: high_contrst, noot: flat}")
    said = (
        "--set data.targets={flat: high_contrst, noot: flat}: data.targets names the domain %s, which the data "
        "does not have "
    )
    assert str(error.value).splitlines() == [
        said % "noot" + "(known: flat, high_contrast)",
        said % "high_contrst" + "(did you mean high_contrast?)",
    ]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("{}", "data.targets: dictionary should have at least 1 item, not 0"),
        ("{flat: []}", "data.targets.flat: list should have at least 1 item, not 0"),
        ("{flat: 3}", "data.targets.flat should be a list, not 3"),
        ("{flat: [high_contrast, high_contrast]}", "data.targets.flat: it names high_contrast twice"),
        ("{flat: flat}", "domain flat would be translated only into itself (name another domain)"),
        ("some", "data.targets should be 'all' or 'others' or a mapping, not 'some'"),
        ("[flat]", "data.targets should be 'all' or 'others' or a mapping, not ['flat']"),
    ],
)
def test_directions_that_are_none_are_refused_in_one_sentence(tmp_path: Path, value: str, said: str) -> None:
    with pytest.raises(RecipeError) as error:
        train(tmp_path / "run", f"data.targets={value}")
    assert str(error.value) == f"--set data.targets={value}: {said}"
