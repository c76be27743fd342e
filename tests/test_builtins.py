"""The arguments that tensors and losses get without anyone defining them: random numbers, and the step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import i2i
from i2i.program_export import export
from i2i.program_parts import parts
from i2i.translator import Translator
from i2i_core.models.from_run import of_run
from i2i_core.plan.draws import Draws
from i2i_core.registry.plugins import discover

from .runs import logged

HERE = Path(__file__).parent
PICTURES = {
    "networks.recolour": "steps/recolour",
    "losses.g.pull": {"use": "steps/pull", "of": "x_fake", "strength": {"ramp": [1, 3], "over": 2}},
    "phases.g.train": ["generator", "recolour"],
    "precision": "fp32",
    "steps": 3,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Three steps of a recipe whose translation reads `uniform` and `step`."""
    folder = tmp_path_factory.mktemp("builtins") / "run"
    changed = {**PICTURES, "hooks.checkpoint": "checkpoint", "hooks.metrics": {"use": "metrics", "every": 1}}
    return i2i.train(HERE / "steps.yaml", set=changed, run_dir=folder, plugins=[HERE / "steps.py"])


@pytest.fixture(scope="module")
def model(run: Any) -> Translator:
    plugins = discover(files=(HERE / "steps.py",))
    return Translator(of_run(run.folder, plugins), plugins, torch.device("cpu"))


def draw(name: str = "z", seed: int = 0, step: int = 0, share: slice = slice(0, 4), count: int = 4) -> torch.Tensor:
    return Draws(seed, step, share.start, share.stop, count, torch.device("cpu"), torch.float32).uniform(name)(16)


def test_uniform_numbers_are_the_global_batchs_and_new_for_each_step_name_and_seed() -> None:
    assert torch.cat([draw(share=slice(0, 2)), draw(share=slice(2, 4))]).equal(draw())
    different = [draw(), draw(name="z2"), draw(seed=1), draw(step=1)]
    assert len({tuple(row.tolist()) for rows in different for row in rows}) == 16
    many = draw(share=slice(0, 4000), count=4000)
    assert (float(many.min()) >= 0, float(many.max()) < 1) == (True, True)
    assert many.mean() == pytest.approx(1 / 2, abs=0.01)
    assert many.var() == pytest.approx(1 / 12, abs=0.005)


def test_uniform_and_normal_numbers_of_a_tensor_are_independent() -> None:
    draws = Draws(0, 0, 0, 4000, 4000, torch.device("cpu"), torch.float64)
    both = torch.cat([draws.uniform("z")(1), draws.normal("z")(1)], 1)
    assert abs(float(torch.corrcoef(both.T)[0, 1])) < 0.05


def test_a_loss_is_told_the_number_of_finished_iterations(run: Any) -> None:
    """The mean square of what is added to the translation grows with the step; `strength` is 1, 2 and 3."""
    pulls = [line["g/pull"] for line in logged(run.folder)]
    assert len(pulls) == 3
    squares = [pull / strength for pull, strength in zip(pulls, (1, 2, 3), strict=True)]
    assert squares[1] > 1.5**2 / 2
    assert squares[2] > 2.5**2 / 2


def test_pictures_outside_of_training_are_those_of_the_last_step(run_of) -> None:
    sets = [f"{key}={value}" for key, value in (("networks.recolour", "steps/recolour"), ("steps", 3))]
    loss = ("losses.g.pull={use: steps/pull, of: x_fake}", "phases.g.train=[generator, recolour]")
    run = run_of(*sets, *loss)
    view, batch = run.tensor("x_fake"), {"x_real": torch.zeros(2, 3, 8, 8, dtype=torch.float64)}
    at_first = view(batch)
    run.step = 3
    torch.testing.assert_close(view(batch), at_first + 3)


def test_a_model_translates_with_the_number_of_trained_steps_and_draws_by_seed(model: Translator) -> None:
    x = torch.zeros(1, 3, 8, 8)
    a, b, c = (model.sources(x).into(model.styles("a", seeds=[seed])[0]) for seed in (0, 0, 1))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    bias = model.networks["recolour"](x)
    added = a - bias
    assert 3 <= float(added.min()) <= float(added.max()) < 4


@pytest.mark.parametrize("kind", ["onnx", "torch-export"])
def test_an_exported_part_takes_uniform_numbers_and_knows_the_step(model: Translator, kind: Any) -> None:
    (part,) = {part for found in parts(model).values() for part in found}
    assert part.holds == {"x_real": "picture from -1 to 1", "x_fake.uniform": "random numbers from U[0, 1)"}
    x, u = torch.zeros(3, 3, 8, 8), torch.rand(3, 3, 1, 1)
    made = part({"x_real": x, "x_fake.uniform": u})["x_fake"]
    torch.testing.assert_close(made, model.networks["recolour"](x) + u + 3)
    assert export(part, kind)  # compares the file's results with the part's
