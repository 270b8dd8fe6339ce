"""Packs of custom nodes are looked at before the engine loads them."""

from __future__ import annotations

from pathlib import Path

from daemon.adapters.node_packs import doubts


def test_an_allowed_pack_with_cuda_code_or_none_at_all_is_told(tmp_path: Path) -> None:
    """A4.4."""
    for file in ("good/nodes.py", "cuda/kernels/deep/warp.CU", "not_allowed/x.cu"):
        path = tmp_path / file
        path.parent.mkdir(parents=True)
        path.touch()
    (tmp_path / "one_file.py").touch()
    cuda, gone = doubts(tmp_path, ["good", "gone", "cuda", "one_file.py"])
    assert "'cuda'" in cuda
    assert "kernels/deep/warp.CU" in cuda
    assert "'gone'" in gone
    assert "custom_nodes" in gone
    assert doubts(tmp_path / "nowhere", []) == []
