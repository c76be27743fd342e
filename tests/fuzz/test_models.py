"""A stranger's model is a model, or one sentence why not, whatever its config.json asks for."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import i2i
from i2i_core.errors import I2IError

from .changes import changed
from .conftest import Tally
from .fence import fenced
from .scale import tried


@pytest.fixture(scope="module")
def judge(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Any, Tally], None]:
    folder = tmp_path_factory.mktemp("models") / "model"
    shutil.copytree(tiny_model, folder)
    i2i.load(folder, device="cpu")  # imports what it needs

    def judge(config: Any, tally: Tally) -> None:
        """Load a model in a fence: it has to be one, or a sentence."""
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
        tally.what, said = "config.json of models", "a model"
        with tally.one():
            with fenced(folder):
                try:
                    i2i.load(folder, device="cpu")
                except I2IError as error:
                    said = str(error)
                    tally.refuse()
            assert said
            assert len(said) < 100_000
            assert "in the recipe" not in said

    return judge


@tried(1_000)
@given(data=st.data())
def test_models_with_another_config(
    judge: Callable[[Any, Tally], None], tiny_model: Path, tally: Tally, data: st.DataObject
) -> None:
    config = json.loads((tiny_model / "config.json").read_text(encoding="utf-8"))
    del config["sha256"]
    judge(data.draw(changed([config])), tally)


@pytest.mark.parametrize("number", [0, 1e9, 2**31, 10**26])
def test_models_that_ask_for_much(
    judge: Callable[[Any, Tally], None], tiny_model: Path, tally: Tally, number: float
) -> None:
    """Each number of a network and of a picture is another one."""
    text = (tiny_model / "config.json").read_text(encoding="utf-8")
    plain = json.loads(text)
    for network, keys in plain["networks"].items():
        for key, value in keys.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                config = json.loads(text)
                del config["sha256"]
                config["networks"][network][key] = number
                judge(config, tally)
    for side in ("image_size", "layouts"):
        config = json.loads(text)
        del config["sha256"]
        if side == "image_size":
            config["image_size"] = [number, number]
        else:
            config["layouts"]["x_real"]["size"] = [number, number]
        judge(config, tally)
