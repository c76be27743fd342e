"""How a phase comes to its gradients: from parts of a batch, from losses of some steps, of a limited length."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from i2i_core.errors import RecipeError
from i2i_core.training.run import Run

from .runs import NO_GRIDS, SGD, largest_difference, logged, run_forked, train

EIGHT = ("data.batch_size=8", "steps=3", *NO_GRIDS)


def test_four_parts_of_two_are_one_batch_of_eight_sgd_in_float32(tmp_path: Path) -> None:
    train(tmp_path / "whole", *SGD, *EIGHT)
    train(tmp_path / "parts", *SGD, *EIGHT, "data.gradient_accumulation=4")
    assert largest_difference(tmp_path / "whole", tmp_path / "parts") < 1e-6
    for one, four in zip(logged(tmp_path / "whole"), logged(tmp_path / "parts"), strict=True):
        assert four == pytest.approx(one, abs=1e-5)
    start = tmp_path / "start"
    train(start, *SGD, *EIGHT, "steps=1", "optimizers.default.lr=0", "optimizers.mapping_network.lr=0")
    assert largest_difference(tmp_path / "whole", start) > 1e-5, "they agree because nothing moved"


def test_four_parts_of_two_are_one_batch_of_eight_adam_in_float64(tmp_path: Path) -> None:
    train(tmp_path / "whole", "precision=fp64", *EIGHT)
    train(tmp_path / "parts", "precision=fp64", *EIGHT, "data.gradient_accumulation=4")
    assert largest_difference(tmp_path / "whole", tmp_path / "parts", ("networks", "hooks", "optimizers")) < 1e-6


def test_two_processes_may_each_take_their_share_in_parts(tmp_path: Path) -> None:
    train(tmp_path / "whole", "precision=fp64", *EIGHT)
    ended = run_forked(tmp_path / "parts", "precision=fp64", *EIGHT, "data.gradient_accumulation=2", world=2)
    assert ended.codes == [0, 0], ended.printed
    assert largest_difference(tmp_path / "whole", tmp_path / "parts") < 1e-6


def test_the_parts_of_a_batch_take_turns_in_the_memory(tmp_path: Path) -> None:
    """Nothing with a graph outlives its phase, or the parts would need what the whole batch needs."""
    run = train(tmp_path / "run", "data.gradient_accumulation=2", "steps=1", *NO_GRIDS)
    for phase in run.plan:
        assert phase.reuse == ()
        assert set(phase.release) == set(phase.compute)


def test_parts_that_are_not_equal_are_refused_at_their_line(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as error:
        train(tmp_path / "run", "data.gradient_accumulation=3")
    assert (
        str(error.value)
        == "--set data.gradient_accumulation=3: data.gradient_accumulation: a batch of 4 samples has no 3 equal parts"
    )


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("0", "data.gradient_accumulation should be greater than 0, not 0"),
        ("two", "data.gradient_accumulation should be a whole number, not 'two'"),
    ],
)
def test_a_number_of_parts_that_is_none_is_refused(tmp_path: Path, value: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        train(tmp_path / "run", f"data.gradient_accumulation={value}")


# Losses of some steps.


def test_a_loss_of_every_third_step_is_three_times_as_strong(tmp_path: Path) -> None:
    for name, *sets in (
        ("every", "losses.discriminator.r1.every=3"),
        ("weight", "losses.discriminator.r1.weight=3"),
        ("plain",),
    ):
        train(tmp_path / name, "steps=1", *NO_GRIDS, "hooks.metrics=null", *SGD, *sets)
    assert largest_difference(tmp_path / "every", tmp_path / "weight") == 0
    assert largest_difference(tmp_path / "every", tmp_path / "plain") > 0


def test_a_step_in_which_losses_are_only_watched_moves_nothing(tmp_path: Path) -> None:
    """Adam would move on by its momentum."""
    watched = (
        "losses.discriminator.watched={use: regularize/overfitting, weight: 0}",
        "losses.discriminator.r1=null",
        "losses.discriminator.adversarial.every=2",
        *NO_GRIDS,
    )
    one, two = (train(tmp_path / str(steps), *watched, f"steps={steps}").networks for steps in (1, 2))
    for p, q in zip(one["discriminator"].parameters(), two["discriminator"].parameters(), strict=True):
        assert p.equal(q)
    assert any(
        not p.equal(q) for p, q in zip(one["generator"].parameters(), two["generator"].parameters(), strict=True)
    )
    assert [set(line) >= {"d_latent/watched"} for line in logged(tmp_path / "2")] == [True, True]


# Clipping.


def gradient_norm(run: Run, network: str) -> float:
    gradients = [p.grad for p in run.networks[network].parameters() if p.grad is not None]
    return float(torch.stack([g.square().sum() for g in gradients]).sum().sqrt())


def test_a_long_gradient_is_scaled_down_and_a_short_one_left_alone(tmp_path: Path) -> None:
    free = train(tmp_path / "free", "steps=1", *NO_GRIDS, "precision=fp64")
    long = gradient_norm(free, "style_encoder")
    clip = train(
        tmp_path / "clip",
        "steps=1",
        *NO_GRIDS,
        "precision=fp64",
        f"optimizers.style_encoder.clip_norm={long / 4}",
        f"optimizers.mapping_network.clip_norm={1e6}",
    )
    assert gradient_norm(clip, "style_encoder") == pytest.approx(long / 4, rel=1e-5)
    for p, q in zip(
        free.networks["style_encoder"].parameters(), clip.networks["style_encoder"].parameters(), strict=True
    ):
        assert (p.grad is None) == (q.grad is None)
        if p.grad is not None and q.grad is not None:
            torch.testing.assert_close(q.grad, p.grad / 4, rtol=1e-5, atol=0)
    for p, q in zip(
        free.networks["mapping_network"].parameters(), clip.networks["mapping_network"].parameters(), strict=True
    ):
        assert (p.grad is None and q.grad is None) or (
            p.grad is not None and q.grad is not None and p.grad.equal(q.grad)
        )


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("0", "optimizers.default.clip_norm should be greater than 0, not 0"),
        ("high", "optimizers.default.clip_norm should be a number, not 'high'"),
    ],
)
def test_a_length_that_is_none_is_refused(tmp_path: Path, value: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        train(tmp_path / "run", f"optimizers.default.clip_norm={value}")
