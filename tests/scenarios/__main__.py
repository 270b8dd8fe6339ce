"""``python -m tests.scenarios``: which stories do not come true; ``--rewrite`` tells them anew."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Sequence

from tests.scenarios.teller import retold, stories


def main(arguments: Sequence[str]) -> int:
    """1 when a story does not come true and was not told anew."""
    untrue = 0
    for path in stories():
        told = path.read_text(encoding="utf-8")
        true = retold(told)
        if told == true:
            continue
        untrue += 1
        lines = difflib.unified_diff(told.splitlines(), true.splitlines(), path.name, "true")
        print("\n".join(lines))
        if "--rewrite" in arguments:
            path.write_text(true, encoding="utf-8")
    return 1 if untrue and "--rewrite" not in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
