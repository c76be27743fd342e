"""Tables of results for the terminal and for benchmarks/README.md, from benchmarks/results.json."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
RESULTS, README = HERE / "results.json", HERE / "README.md"
BEGIN, END = "<!-- results: python -m benchmarks table -->\n", "<!-- end of results -->\n"
LOADING = ("load", "labels", "bands")
"""Benchmarks whose figures are also files per second."""
LIBRARIES = ("torch", "torchvision", "pillow", "numpy")
COLUMNS = ("benchmark", "case", "measure", "baseline", "product", "ratio", "date")
Result = Mapping[str, Any]


def save(result: Result) -> None:
    """Save a result, replacing the previous one of its case on this machine with these versions."""
    where = {"machine": machine(), "cores": os.cpu_count(), "python": platform.python_version()}
    where |= {name: version(name) for name in LIBRARIES}
    tables = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    table = next((table for table in tables if table | where == table), None)
    if table is None:
        tables.append(table := where | {"results": []})
    kept = [*(other for other in table["results"] if _case(other) != _case(result)), result]
    order = ("flops", "train", "infer", *LOADING, "start")
    table["results"] = sorted(
        kept, key=lambda r: (order.index(r["benchmark"]), -r["size"], r["masks"], r["batch"], r["sets"])
    )
    RESULTS.write_text(json.dumps(tables, indent=1) + "\n")


def machine() -> str:
    """Name of the processor."""
    try:
        found = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()


def show(results: Sequence[Result]) -> None:
    table = Table(*COLUMNS, caption="ratio: product ÷ baseline, smaller is better")
    for result in results:
        for row in rows(result):
            table.add_row(*row)
    Console(width=None if Console().is_terminal else 140).print(table)


def readme() -> str:
    """Return README.md with a table for each machine of results.json between its two markers."""
    text = README.read_text()
    before, after = text[: text.index(BEGIN) + len(BEGIN)], text[text.index(END) :]
    return before + "".join(f"\n{_markdown(table)}\n" for table in json.loads(RESULTS.read_text())) + "\n" + after


def _markdown(table: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {table[name]}" for name in LIBRARIES)
    return "\n".join(
        (
            f"{table['machine']}, {table['cores']} cores; Python {table['python']}, {versions}.\n",
            "| " + " | ".join(COLUMNS) + " |",
            "|---" * len(COLUMNS) + "|",
            *("| " + " | ".join(row) + " |" for result in table["results"] for row in rows(result)),
        )
    )


def rows(result: Result) -> Iterator[tuple[str, ...]]:
    """Yield a row for each measure of a result."""
    case = f"{result['size']} px"
    case += f", batch {result['batch']}" if result["benchmark"] in ("flops", "train") else ""
    case += ", masks" * result["masks"]
    case += "".join(f", {change}" for change in result["sets"])
    case += f", {result['threads']} thread{'s' * (result['threads'] > 1)}" if "threads" in result else ""
    for name, ratio in result["ratio"].items():
        baseline, product = (_figure(name, result[side][name]) for side in ("baseline", "product"))
        if result["benchmark"] in LOADING:
            baseline, product = (
                f"{text} ({1 / result[side][name]:.0f}/s)"
                for text, side in ((baseline, "baseline"), (product, "product"))
            )
        yield result["benchmark"], case, _measure(name), baseline, product, f"{ratio:.3f}", result["date"]


def _measure(name: str) -> str:
    return {"flops": "FLOPs", "peak_gb": "peak memory"}.get(name, name.replace("_seconds", " time").replace("_", " "))


def _figure(name: str, value: float) -> str:
    if name == "flops":
        return f"{value / 1e12:.2f} T"
    if name == "peak_gb":
        return f"{value:.2f} GB"
    return f"{value:.2f} s" if value >= 1 else f"{1000 * value:.1f} ms"


def _case(result: Result) -> tuple[Any, ...]:
    return tuple(result[name] for name in ("benchmark", "size", "batch", "masks", "sets"))
