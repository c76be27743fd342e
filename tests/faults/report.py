"""Turns the records of sessions into docs/reliability.md.

python -m tests.faults.report build/faults.jsonl    sum a record of tests/faults up in last_run.json, and write the page
python -m tests.faults.report build/fuzz.jsonl      the same for tests/fuzz
python -m tests.faults.report                       write the page from last_run.json
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from .promises import PROMISES

HERE = Path(__file__).parent
LAST_RUN, TEXT, PAGE = HERE / "last_run.json", HERE / "page.md", HERE.parents[1] / "docs" / "reliability.md"
BROKEN = 5
"""How many broken promises of a kind are told."""


def summed_up(lines: Iterable[str]) -> dict[str, Any]:
    """Sum a record of tests/faults up: where and when it was made, and what became of each promise."""
    attempts = defaultdict(list)
    for line in lines:
        tried = json.loads(line)
        attempts[tried["kind"]].append(tried)
    return {
        **_origin(os.environ.get("I2I_FAULTS", "ordinary")),
        "promises": {kind: _outcome(attempts[kind]) for kind in PROMISES if kind in attempts},
    }


def inputs_summed_up(lines: Iterable[str]) -> dict[str, Any]:
    """Sum a record of tests/fuzz up: where and when it was made, and what became of each kind of input."""
    found: dict[str, dict[str, Any]] = {}
    for line in lines:
        tally = json.loads(line)
        kind = found.setdefault(tally["what"], {"test": tally["test"], "tried": 0, "read": 0, "refused": 0})
        for key in ("tried", "read", "refused"):
            kind[key] += tally[key]
    return {**_origin(os.environ.get("I2I_FUZZ", "ordinary")), "inputs": dict(sorted(found.items()))}


def _origin(scale: str) -> dict[str, Any]:
    git = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, cwd=HERE)
    import torch

    return {
        "date": time.strftime("%Y-%m-%d"),
        "scale": scale,
        "commit": git.stdout.strip(),
        "machine": f"{platform.system()} on {platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, PyTorch {torch.__version__}",
    }


def _outcome(attempts: list[dict[str, Any]]) -> dict[str, Any]:
    broken = [a for a in attempts if not a["survived"]]
    return {
        "tests": sorted({a["test"].partition("::")[0] for a in attempts}),
        "tried": len(attempts),
        "survived": len(attempts) - len(broken),
        "lost": max((a["lost"] for a in attempts if a["lost"] is not None), default=None),
        "broken": [_told(f"{a['tried']} (seed {a['seed']}): {a['said']}") for a in broken[:BROKEN]],
    }


def _told(sentence: str) -> str:
    """Shorten a sentence, and leave out the folders of the machine."""
    return re.sub(r"(/[\w.-]+)+/", "", " ".join(sentence.split())).replace("`", "'")[:300]


def page(run: dict[str, Any]) -> str:
    """Return the text of docs/reliability.md."""
    text = TEXT.read_text(encoding="utf-8")
    parts = {
        "about": [_about(run)],
        "promises": _table(run["promises"]),
        "broken": _broken(run["promises"]),
        "inputs": _inputs(run["fuzz"]) if "fuzz" in run else ["Not run yet."],
    }
    for name, lines in parts.items():
        text = text.replace(f"<!-- {name} -->", "\n".join(lines))
    return text


def _about(run: dict[str, Any]) -> str:
    outcomes = run["promises"].values()
    tried, survived = (sum(outcome[key] for outcome in outcomes) for key in ("tried", "survived"))
    return (
        f"The last run was on {run['date']} at commit {run['commit']}, at the scale `{run['scale']}`: {tried:,} "
        f"faults, of which {survived:,} kept the promise. The machine: {run['machine']}."
    )


def _table(promises: dict[str, Any]) -> Iterator[str]:
    yield "| fault | promise | test | tried | survived | lost |\n|---|---|---|---|---|---|"
    for kind, sentence in PROMISES.items():
        if found := promises.get(kind):
            tests = ", ".join(f"`{test}`" for test in found["tests"])
            lost = "" if found["lost"] is None else _steps(found["lost"])
            yield f"| {kind} | {sentence} | {tests} | {found['tried']:,} | {found['survived']:,} | {lost} |"


def _broken(promises: dict[str, Any]) -> Iterator[str]:
    broken = [(kind, sentence) for kind, found in promises.items() for sentence in found["broken"]]
    yield f"In this run these promises were broken; of each kind, the first {BROKEN}:\n" if broken else "None."
    for kind, sentence in broken:
        yield f"- {kind}: `{sentence}`"


def _inputs(run: dict[str, Any]) -> Iterator[str]:
    yield f"The last run was on {run['date']} at commit {run['commit']}, at the scale `{run['scale']}`.\n"
    yield "| input | test | tried | read | refused | anything else |\n|---|---|---|---|---|---|"
    for kind, found in run["inputs"].items():
        tried, read, refused = (found[key] for key in ("tried", "read", "refused"))
        yield f"| {kind} | `{found['test']}` | {tried:,} | {read:,} | {refused:,} | {tried - read - refused:,} |"


def _steps(number: int) -> str:
    return "nothing" if not number else f"at most {number} step{'s' * (number != 1)}"


def main(records: Sequence[str]) -> None:
    """Write the page, after summing up the records."""
    last = json.loads(LAST_RUN.read_text(encoding="utf-8"))
    for record in records:
        lines = Path(record).read_text(encoding="utf-8").splitlines()
        if "refused" in json.loads(lines[0]):
            last["fuzz"] = inputs_summed_up(lines)
        else:
            last = {**summed_up(lines), **{key: last[key] for key in ("fuzz",) if key in last}}
    LAST_RUN.write_text(json.dumps(last, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(last), encoding="utf-8")
    print(PAGE)


if __name__ == "__main__":
    main(sys.argv[1:])
