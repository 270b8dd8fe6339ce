"""Touches the packs of custom nodes that are allowed: are they there, and are they made for a Mac?

Law: nothing in a pack is read or run; the names of its files are looked at.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

_CUDA = (".cu", ".cuh")
_MAX_FOLDERS = 2_000


def doubts(custom_nodes: Path, packs: Iterable[str]) -> Sequence[str]:
    """A sentence for each allowed pack that is missing, or has code for CUDA in it (A4.4)."""
    said = []
    for pack in sorted(packs):
        if not (custom_nodes / pack).exists():
            said.append(
                f"The pack {pack!r} is allowed in nightpress.toml and not in {custom_nodes}: put it"
                " there, or remove it from [comfyui] custom_nodes."
            )
        elif found := _cuda_source(custom_nodes / pack):
            said.append(
                f"The pack {pack!r} has code for CUDA in it ({found}), which no Mac can run: what"
                " needs it fails, or falls back to the CPU. See what its README says of MPS."
            )
    return said


def _cuda_source(pack: Path) -> str:
    """The first file of CUDA code in a pack, '' = none; links are not followed."""
    for folder, _, names in islice(os.walk(pack), _MAX_FOLDERS):
        for name in sorted(names):
            if name.lower().endswith(_CUDA):
                return ascii(str((Path(folder) / name).relative_to(pack)))[1:-1]
    return ""
