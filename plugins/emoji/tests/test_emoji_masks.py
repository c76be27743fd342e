"""Masks of where there is a drawing."""

from __future__ import annotations

import torch

from i2i_emoji.masks import ink


def test_ink_is_where_a_drawing_is_not_white_with_a_margin() -> None:
    x = torch.ones(2, 3, 9, 9)
    x[1, 0, 4, 4] = -1  # one channel of one pixel of one picture
    full, without_mouth = ink(x, margin=2)
    assert full.equal(without_mouth)
    assert full.shape == (2, 1, 9, 9)
    assert full[0].sum() == 0
    assert full[1, 0].nonzero().tolist() == [[row, column] for row in range(2, 7) for column in range(2, 7)]
    assert full[1].max() == 1


def test_grey_is_half_ink_and_no_gradient_flows() -> None:
    x = torch.zeros(1, 3, 4, 4, requires_grad=True)
    mask, _ = ink(x, margin=0)
    assert mask.eq(0.5).all()
    assert not mask.requires_grad
