"""How much is tried: a little in `make test`, all in `make test-fuzz`."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings

FULL = os.environ.get("I2I_FUZZ") == "full"


def times(full: int) -> int:
    """Return the number of examples: `full`, or a hundredth of it."""
    return full if FULL else full // 100


def tried(full: int) -> settings:
    """Return settings of hypothesis for so many examples; the same ones in each session."""
    return settings(
        max_examples=times(full),
        derandomize=True,
        phases=(Phase.explicit, Phase.generate) if not FULL else tuple(Phase),
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
