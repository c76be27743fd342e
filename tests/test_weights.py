"""`weights: FOLDER` starts a run from a model's networks: imported, or exported from a run."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from i2i_core.errors import CheckpointError, RecipeError
from i2i_core.models.folder import read, write
from i2i_core.plan.check import load
from i2i_core.training.compute import make_accelerator
from i2i_core.training.run import Run
from tests.runs import NO_GRIDS, TINY, logged, plugins, tensors, train

SETS = (*NO_GRIDS, "hooks.checkpoint={every: 1, keep: 9}")
EMA = ("generator", "mapping_network", "style_encoder")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of two steps of the quick start; it has no discriminator, which no translation needs."""
    from i2i_core.models.from_run import of_run

    folder = tmp_path_factory.mktemp("weights")
    train(folder / "run", "steps=2", "optimizers.default.lr=1e-2", *NO_GRIDS)
    write(of_run(folder / "run", plugins()), folder / "model", {})
    return folder / "model"


@pytest.fixture
def started(model: Path, tmp_path: Path) -> tuple[Path, list[str]]:
    """A run of two steps from the model, and what it warned of."""
    said = list[str]()
    train(tmp_path / "run", *SETS, f"weights={model}", "steps=2", warn=said.append)
    return tmp_path / "run", said


def prepared(*sets: str) -> Run:
    """The quick start before its first step."""
    run = Run(load("stargan_v2.yaml", [*TINY, *SETS, *sets], plugins()), make_accelerator("fp32"), None)
    run.start()
    return run


def test_the_first_losses_are_those_of_the_weights_put_in_by_hand(
    started: tuple[Path, list[str]], model: Path, tmp_path: Path
) -> None:
    by_hand = prepared("steps=1")
    for name in EMA:
        by_hand.networks[name].load_state_dict(dict(read(model).networks[name]))
    kept = dict[str, float]()
    log = by_hand.log
    by_hand.log = lambda values: (kept.update(values), log(values))  # type: ignore[method-assign, func-returns-value]
    by_hand.trainer.train(by_hand)
    train(tmp_path / "fresh", *SETS, "steps=1")
    first, fresh = logged(started[0])[0], logged(tmp_path / "fresh")[0]
    terms = [name for name in first if "/" in name]
    assert len(terms) > 10
    assert {name: first[name] for name in terms} == {name: kept[name] for name in terms}
    same = [name for name in terms if first[name] == pytest.approx(fresh[name], rel=1e-4)]
    assert same == ["d_latent/r1"], "of nothing but the discriminator, before its first step"


def test_averages_start_from_the_weights_and_what_the_model_lacks_from_the_seed(model: Path) -> None:
    with pytest.warns(UserWarning, match="has no weights of discriminator, which start from the seed"):
        run = prepared(f"weights={model}")
    fresh = prepared()
    for name in EMA:
        for place, tensor in read(model).networks[name].items():
            assert torch.equal(run.networks[name].state_dict()[place], tensor)
            assert torch.equal(run.eval_networks[name].state_dict()[place], tensor)
    assert all(
        torch.equal(a, b)
        for a, b in zip(
            run.networks["discriminator"].state_dict().values(),
            fresh.networks["discriminator"].state_dict().values(),
            strict=True,
        )
    )


def test_what_the_model_lacks_is_warned_of_and_a_resumed_run_needs_no_model(
    started: tuple[Path, list[str]], model: Path, tmp_path: Path
) -> None:
    folder, said = started
    assert said == [f"the model {model} has no weights of discriminator, which start from the seed"]
    train(tmp_path / "whole", *SETS, f"weights={model}", "steps=3", warn=said.append)
    kept = model.with_name("moved")
    shutil.move(model, kept)
    try:
        train(folder, "steps=3", resume=True)
    finally:
        shutil.move(kept, model)
    ours, theirs = tensors(folder), tensors(tmp_path / "whole")
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


def refusal(*sets: str) -> str:
    with pytest.raises(CheckpointError) as error:
        prepared(*sets)
    return str(error.value)


def test_weights_that_do_not_fit_are_one_sentence(model: Path) -> None:
    assert refusal(f"weights={model}", "networks.mapping_network.hidden_dim=8").startswith(
        f"the weights of the model {model} do not fit the recipe's networks. only in the recipe: mapping_network: "
        f"shared.0.bias [8]; mapping_network: shared.0.weight [8, 16]; mapping_network: shared.2.bias [8] and "
    )


def test_what_is_no_model_and_a_model_of_other_networks_are_said(model: Path, tmp_path: Path) -> None:
    assert refusal(f"weights={tmp_path}") == (
        f"there is no model in {tmp_path} to start from; the working directory is {Path.cwd()}"
    )
    found = read(model)
    networks: dict[str, dict[str, Tensor]] = {"F": dict(found.networks["generator"])}
    data: Any = {**found.document.data, "networks": {"F": found.document.data["networks"]["generator"]}}
    found.document.data = data
    write(type(found)("other", found.document, networks), tmp_path / "other", {})
    assert refusal(f"weights={tmp_path / 'other'}") == (
        f"the model {tmp_path / 'other'} has none of the recipe's networks generator, mapping_network, style_encoder, "
        f"discriminator; it has F"
    )


def test_other_domains_are_warned_of(model: Path, tmp_path: Path) -> None:
    found = read(model)
    found.document.data |= dict.fromkeys(("domains", "sources", "targets"), ["line", "colour"])
    write(found, tmp_path / "other", {})
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        prepared(f"weights={tmp_path / 'other'}")
    assert str(said[-1].message) == (
        f"the model {tmp_path / 'other'} was trained on the domains line, colour; their "
        f"weights are now used for flat, high_contrast"
    )


def test_a_value_that_is_no_folder_s_name_is_a_mistake_at_its_place() -> None:
    with pytest.raises(RecipeError) as error:
        load("stargan_v2.yaml", ["weights=5"], plugins())
    assert str(error.value) == "--set weights=5: weights should be a path, not 5"
