"""`make check` fails for a known vulnerability, and for nothing else that pip-audit says."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

FILE = Path(__file__).parents[1] / ".ci" / "audit.py"


def judged(report: str) -> tuple[str, int]:
    spec = importlib.util.spec_from_file_location("audit", FILE)
    audit: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(audit)
    return audit.judged(report)


UNKNOWN = {"name": "b", "skip_reason": "Dependency not found"}


@pytest.mark.parametrize(
    ("dependencies", "said", "code"),
    [
        ([{"name": "a", "version": "1", "vulns": []}, UNKNOWN], "no known vulnerability in 1 of 2 packages", 0),
        ([{"name": "a", "version": "1", "vulns": [{"id": "X-1"}, {"id": "X-2"}]}, UNKNOWN], "a 1: X-1\na 1: X-2", 1),
        ([UNKNOWN], "not audited: the service of known vulnerabilities knows none of the packages", 0),
    ],
)
def test_only_a_known_vulnerability_fails(dependencies, said, code):
    assert judged(json.dumps({"dependencies": dependencies, "fixes": []})) == (said, code)


def test_a_service_that_cannot_be_reached_is_said():
    assert judged("") == ("not audited: the service of known vulnerabilities cannot be reached", 0)


def test_actions_are_pinned_by_commit():
    workflows = [
        *FILE.parents[1].glob(".github/workflows/*.yml"),
        *FILE.parents[1].glob("cli/template/.github/workflows/*.yml"),
    ]
    used = [
        line.split("uses:")[1].split()
        for file in workflows
        for line in file.read_text().splitlines()
        if "uses:" in line
    ]
    assert used
    for action, *comment in used:
        commit = action.partition("@")[2]
        assert len(commit) == 40 and set(commit) <= set("0123456789abcdef") and comment[:1] == ["#"], action
