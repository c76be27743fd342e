"""References in sample grids: shown if the tensor reads any field of theirs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from i2i_core.data.formats.picture import Picture
from i2i_core.training.hooks.sample_grid import SampleGrid


class Shades:
    """Ten pictures of one domain; the number of each is its shade and its field `given`."""

    domains, paired = ("a",), False

    def count(self, domain: int) -> int:
        return 10

    def format(self, domain: int, field: str = "x") -> Picture:
        return Picture()

    def batch(self, domain: int, indices: Sequence[int], fields: Sequence[str] = ("x",)) -> dict[str, torch.Tensor]:
        shades = torch.tensor(indices, dtype=torch.float32) / 10
        values = {"x": shades[:, None, None, None].expand(-1, 3, 4, 4), "given": shades[:, None]}
        return {name: values[name] for name in fields}


def cells(fields: Collection[str], **keys: Any) -> list[list[Any]]:
    def shown(batch: dict[str, torch.Tensor], **how: Any) -> torch.Tensor:
        assert {*fields} <= batch.keys()
        return batch["x_real"]

    shown.fields = fields  # type: ignore[attr-defined]
    recipe = SimpleNamespace(data=SimpleNamespace(targets={"a": ["a"]}))
    run: Any = SimpleNamespace(validation=Shades(), recipe=recipe, tensor=lambda *_: shown)
    grid = SampleGrid(name="grid", sources=3, rows=2, **keys)
    grid.run_start(run)
    return grid.cells(run)


@pytest.mark.parametrize(
    ("fields", "columns"),
    [
        ({"x_real"}, 3),
        ({"x_real", "given_real"}, 3),
        ({"x_real", "x_ref"}, 4),
        ({"x_real", "given_ref"}, 4),
        ({"x_real", "x_ref2"}, 4),
    ],
)
def test_references_stand_at_the_left_of_rows_that_read_a_field_of_theirs(fields: set[str], columns: int) -> None:
    found = cells(fields)
    assert [len(row) for row in found] == [columns] * 3
    assert (found[0][0] is None) == (columns == 4), "the corner is empty"


def test_on_the_way_back_x_real_is_the_reference() -> None:
    back = cells({"x_ref"}, source="x_ref")
    assert [len(row) for row in back] == [3] * 3
    back = cells({"x_ref", "x_real"}, source="x_ref")
    assert [len(row) for row in back] == [4] * 3
    sources, *rows = back
    for reference, *made in rows:  # the tensor is x_real
        assert [picture.tobytes() for picture in made] == [reference.tobytes()] * 3
    assert {picture.tobytes() for picture in sources[1:]}.isdisjoint(row[0].tobytes() for row in rows)
