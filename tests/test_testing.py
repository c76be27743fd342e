"""check_plugin: what keeps the contract passes, and what breaks it is told, all of it, a sentence a line."""

from __future__ import annotations

import re
import warnings

import psutil
import pytest

from i2i_core import testing
from i2i_core.testing import check_plugin

from .runs import TINY

NOWHERE = "data={use: image_folders, root: nowhere, image_size: 64, batch_size: 4}"


def failures(name: str, **options: object) -> list[str]:
    with pytest.raises(AssertionError) as broken:
        check_plugin(name, **options)
    return str(broken.value).splitlines()


@pytest.mark.parametrize("name", ["core", "emoji", "earth", "fan_mask"])
def test_first_party_plugins_without_recipes_keep_the_contract(name: str) -> None:
    check_plugin(name)


def test_a_recipe_whose_pictures_are_not_there_is_not_trained_with_a_warning() -> None:
    with pytest.warns(UserWarning, match="was not trained") as caught:
        check_plugin("stargan_v2", sets=(NOWHERE,))
    said = sorted(str(warning.message) for warning in caught)
    assert [line.partition(" ")[0] for line in said] == [
        "stargan_v2.yaml",
        "stargan_v2_afhq.yaml",
        "stargan_v2_celeba_hq.yaml",
        "stargan_v2_earth.yaml",
    ]
    assert {line.partition(" ")[2] for line in said} == {
        f"was not trained: --set {NOWHERE[:61]} ...: there is no folder nowhere, which should hold one folder of "
        "pictures per domain"
    }
    assert {warning.filename for warning in caught} == {__file__}


@pytest.mark.slow
def test_stargan_v2_keeps_the_contract() -> None:
    emoji = "data={use: emoji/drawings, image_size: 32, batch_size: 4}"
    masks = [
        f"tensors.{name}={{use: fan_mask/everywhere, of: {of}}}"
        for name, of in (("masks", "x_real"), ("fake_masks", "x_fake"))
    ]
    skip = "networks.generator.skip={use: fan_mask/high_pass, sizes: [8, 16]}"
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # every recipe is trained
        check_plugin("stargan_v2", sets=(*TINY, emoji, *masks, skip))


def test_a_plugin_that_is_not_there_or_does_not_load_is_told(project) -> None:
    assert failures("emojy") == ["no plugin called emojy is installed (did you mean emoji?)"]
    folder = project("gone", ("__init__.py", "from pathlib", "from patlib"))
    assert failures("gone") == [
        "plugin gone does not load: ModuleNotFoundError: No module named 'patlib', at "
        f"{folder / 'i2i_gone' / '__init__.py'}:5; update or uninstall i2i-gone"
    ]


def test_fewer_processes_than_one_are_refused() -> None:
    with pytest.raises(ValueError, match="^processes should be at least 1, not 0$"):
        check_plugin("emoji", processes=0)


def test_all_that_can_be_read_in_its_code_is_told_at_once(project) -> None:
    project(
        "careless",
        ("__init__.py", "from pathlib", "import i2i_careless.losses\nfrom pathlib"),
        ("__init__.py", '"i2i_careless.data:Discs"', '"i2i_careless.data:Disks"'),
        (
            "__init__.py",
            '"i2i_careless.hooks:Smooth")',
            '"i2i_careless.hooks:Smooth")\n    registry.tensor("grey", "i2i_careless.gray:grey")',
        ),
        ("tensors.py", "x_real: Tensor, y_trg", "x_real, y_trg"),
        ("networks.py", '"""Generator of two', 'summary = """Generator of two'),
        ("losses.py", "epsilon: PositiveFloat = 0.01) -> Tensor", "epsilon=0.01, power: int = 2)"),
        (
            "hooks.py",
            "from i2i_core.interfaces import RunContext",
            "from i2i_core.interfaces import RunContext\n\nif TYPE_CHECKING:\n    from pathlib import Path",
        ),
        (
            "hooks.py",
            "from collections.abc import Mapping",
            "from collections.abc import Mapping\nfrom typing import TYPE_CHECKING",
        ),
        ("hooks.py", "def after_step", "def after_stepp"),
        ("hooks.py", "every: PositiveInt = 10", "every: PositiveInt = 10, to: Path | None = None"),
        ("hooks.py", "every: steps between", "to, every: steps between"),
    )
    assert failures("careless") == [
        "i2i_careless imports i2i_careless.losses, numpy, torch, which would slow down every i2i command; import it "
        "where it is used, and register components by their import path",
        "dataset careless/discs: i2i_careless.data:Disks does not import: AttributeError: module 'i2i_careless.data' "
        "has no attribute 'Disks'",
        "tensor careless/grey: i2i_careless.gray:grey does not import: ModuleNotFoundError: No module named "
        "'i2i_careless.gray'",
        "method careless/method: x_fake has no type annotation for x_real",
        "network careless/generator: it has no docstring; i2i ls prints its first line",
        "loss careless/charbonnier: charbonnier has no type annotation for epsilon",
        "loss careless/charbonnier: charbonnier has no return annotation",
        "loss careless/charbonnier: its docstring does not name power",
        "hook careless/smooth: hook Smooth has a method after_stepp, which is not an event (did you mean after_step?)",
        "hook careless/smooth: the type of over, every, to cannot be read at run time, so recipes are not checked; "
        "import its name",
    ]


def test_mistakes_in_a_bundled_recipe_are_told_with_their_place(project) -> None:
    folder = project(
        "wrong",
        ("recipes/wrong.yaml", "wrong/charbonnier, epsilon", "wrong/charbonier, epsilon"),
        ("recipes/wrong.yaml", "width: 16", "widht: 16"),
    )
    recipe = folder / "i2i_wrong" / "recipes" / "wrong.yaml"
    assert failures("wrong") == [
        f"{recipe}:15:37: network wrong/generator has no key widht (did you mean width?)",
        f"{recipe}:19:24: there is no loss called wrong/charbonier (did you mean wrong/charbonnier?)",
    ]


def test_recipes_that_a_wheel_left_out_are_told(project) -> None:
    folder = project("empty")
    recipes = folder / "i2i_empty" / "recipes"
    (recipes / "empty.yaml").unlink()
    assert failures("empty") == [
        f"i2i_recipes returns {recipes}, which holds no recipe; declare recipes as package-data"
    ]


def test_a_recipe_that_does_not_train_is_told_with_its_error(project, capsys: pytest.CaptureFixture[str]) -> None:
    project("raising", ("networks.py", "return torch.tanh", "return y / torch.tanh"))
    (said,) = failures("raising")
    assert said.startswith("raising.yaml does not train: unexpected: RuntimeError: The size of tensor a (8) must match")
    assert "traceback is in" not in said
    assert 'networks.py", line' in capsys.readouterr().err


@pytest.mark.slow
def test_state_that_is_lost_and_losses_that_are_no_means_are_told(project) -> None:
    """A hook that does not load what it saved, and a loss that two halves of a batch sum up to another value."""
    project(
        "forgetful",
        ("hooks.py", "            average.copy_(state[name])", "            average + state[name]"),
        ("losses.py", ".sqrt().mean()", ".sqrt().mean(0).sum() / x_fake[0].numel() * len(x_fake)"),
    )
    assert failures("forgetful") == [
        "forgetful.yaml: a run that is resumed after its first step ends with other hooks/smooth than an uninterrupted "
        "run; state that the second step needs is not saved in the checkpoint, or not loaded",
        "forgetful.yaml: 2 processes end with other hooks/smooth, networks/generator, optimizers/generator than one; "
        "losses should be means over the batch, and what is computed of a sample should not depend on the others",
    ]


@pytest.mark.slow
def test_processes_that_wait_for_each_other_are_told(project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(testing, "PATIENCE", 2)
    project(
        "waiting",
        (
            "hooks.py",
            "if run.step % self.every == 0:",
            "if run.is_main:\n            run.accelerator.wait_for_everyone()\n        if run.step > 9:",
        ),
    )
    (said,) = failures("waiting")
    assert re.fullmatch(
        r"waiting\.yaml does not train in float64 in 2 processes: the processes still wait for each other "
        r"after \d+ s; each has to make every collective call",
        said,
    )
    running = [word for process in psutil.process_iter(["cmdline"]) for word in process.info["cmdline"] or ()]
    assert not [word for word in running if word.endswith("waiting.yaml")]


@pytest.mark.slow
def test_what_happens_in_one_of_several_processes_is_told_as_it_says_it(project) -> None:
    project(
        "second",
        (
            "hooks.py",
            "if run.step % self.every == 0:",
            "if not run.is_main:\n            raise OSError('only here')\n        if run.step > 9:",
        ),
    )
    assert failures("second") == [
        "second.yaml does not train in float64 in 2 processes: rank 1: unexpected: OSError: only here"
    ]


def test_a_process_that_dies_without_a_word_is_told(project) -> None:
    project("dying", ("hooks.py", "if run.step % self.every == 0:", "if __import__('os')._exit(9):"))
    assert failures("dying") == ["dying.yaml does not train: it ended with exit code 9"]


@pytest.mark.slow
def test_what_cannot_be_resumed_or_run_in_float64_is_told(project) -> None:
    project(
        "stubborn",
        (
            "hooks.py",
            "        for name, average in self.averages.items():\n            average.copy_",
            "        for name, average in state.items():\n            self.average.copy_",
        ),
        ("networks.py", "self.encode(x)", "self.encode(x.float())"),
    )
    resumed, trained = failures("stubborn")
    assert resumed == (
        "stubborn.yaml cannot be resumed after its first step: unexpected: AttributeError: 'Smooth' "
        "object has no attribute 'average'"
    )
    assert trained.startswith("stubborn.yaml does not train in float64 in 1 process: ")
