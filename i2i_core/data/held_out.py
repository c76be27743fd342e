"""Batches of chosen records, for sample grids and measurements."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from i2i_core.interfaces import Records
from i2i_core.plan.fields import PAIR, REAL, REFERENCES, in_role, role_of

Place = tuple[int, int]
"""The domain of a record, and its index there."""


def batch_of(
    records: Records, fields: Collection[str], sources: Sequence[Place], references: Sequence[Place]
) -> dict[str, Tensor]:
    """Return those batch fields of N samples that `fields` names, and the domains y_org and y_trg.

    sources: the record of each sample in the role `real`. references: that in the roles `ref` and `ref2`; its domain is
    the target domain. The role `pair` is the target domain's record of the source's index.
    """
    pairs = [(domain, index) for (domain, _), (_, index) in zip(references, sources, strict=True)]
    places = {REAL: sources, PAIR: pairs, **dict.fromkeys(REFERENCES, references)}
    batch = {
        "y_org": torch.tensor([domain for domain, _ in sources]),
        "y_trg": torch.tensor([domain for domain, _ in references]),
    }
    for role, chosen in places.items():
        if wanted := [field for field, of in map(role_of, fields) if of == role]:
            found = {(domain, index): records.batch(domain, [index], wanted) for domain, index in {*chosen}}
            batch |= {in_role(field, role): torch.cat([found[place][field] for place in chosen]) for field in wanted}
    return batch


def read_references(fields: Collection[str], source: str) -> bool:
    """Return True if one of the batch fields is a picture or another field of a reference.

    source: the batch field of the picture to translate; if it has the role of a reference, x_real is the reference.
    """
    roles = REFERENCES if role_of(source)[1] == REAL else (REAL,)
    return any(role_of(field)[1] in roles for field in fields)
