"""Known vulnerabilities of what is installed, by pip-audit. Fails if there is one, not if nobody could be asked.

python .ci/audit.py
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec


def judged(report: str) -> tuple[str, int]:
    """Return what a report of pip-audit in JSON says, and the exit code."""
    try:
        found = json.loads(report)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return "not audited: the service of known vulnerabilities cannot be reached", 0
    asked = [one for one in found if "skip_reason" not in one]
    if not asked:
        return "not audited: the service of known vulnerabilities knows none of the packages", 0
    bad = [f"{one['name']} {one['version']}: {flaw['id']}" for one in asked for flaw in one["vulns"]]
    return "\n".join(bad) or f"no known vulnerability in {len(asked)} of {len(found)} packages", int(bool(bad))


def main() -> int:
    if find_spec("pip_audit") is None:
        said, code = "not audited: pip-audit is not installed", 0
    else:
        command = [sys.executable, "-m", "pip_audit", "--format", "json", "--timeout", "5", "--progress-spinner", "off"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=120)
            said, code = judged(done.stdout)
        except subprocess.TimeoutExpired:
            said, code = "not audited: the service of known vulnerabilities does not answer", 0
    print(said)
    return code


if __name__ == "__main__":
    sys.exit(main())
