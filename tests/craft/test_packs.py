"""Packs: whose node a class really is decides whether it may draw."""

from __future__ import annotations

from daemon.craft.packs import forbidden_nodes


def test_a_node_that_is_missing_or_of_another_s_pack_is_refused_by_name() -> None:
    """A4.2"""
    modules = {
        "KSampler": "nodes",
        "Canny": "comfy_extras.nodes_canny",
        "Good": "custom_nodes.good-pack",
        "Evil": "custom_nodes.evil-pack",
        "Paid": "comfy_api_nodes.nodes_paid",
    }
    found = forbidden_nodes([*modules, "Gone"], modules, ["good-pack"])
    assert [(code, text.split()[3]) for code, text in found] == [
        ("NODE_FORBIDDEN", "'Evil'"),
        ("NODE_MISSING", "'Gone'"),
        ("NODE_FORBIDDEN", "'Paid'"),
    ]
    assert 'custom_nodes = { "evil-pack" = ' in found[0][1]
    assert forbidden_nodes(["KSampler"], modules, []) == []


def test_a_declared_pack_is_the_pack_that_brings_the_class() -> None:
    """A4.2: what a slots file says of a class is held against what the engine says."""
    declared = {"DWPreprocessor": "comfyui_controlnet_aux"}
    packs = ["comfyui_controlnet_aux", "other"]
    for module, fine in (
        ("custom_nodes.comfyui_controlnet_aux", True),
        ("custom_nodes.other", False),
        ("nodes", False),
    ):
        modules = {"DWPreprocessor": module}
        found = forbidden_nodes(modules, modules, packs, declared)
        assert (found == []) is fine, module
        assert fine or "the pack 'comfyui_controlnet_aux'" in found[0][1]
