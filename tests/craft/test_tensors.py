"""What a file is by its header, what it costs, and whether SD 1.5 can use it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from daemon.craft.tensors import Judged, Kind, Tensor, judge, kind_of, parts_of

Tensors = Mapping[str, Tensor]
NET = "model.diffusion_model"
ATTENTION = "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
TEXT = "cond_stage_model.transformer.text_model.embeddings.position_embedding.weight"


def half(*shape: int, dtype: str = "F16") -> Tensor:
    return Tensor(dtype, shape)


CHECKPOINT: Tensors = {
    f"{NET}.input_blocks.0.0.weight": half(320, 4, 3, 3),
    f"{NET}.{ATTENTION}": half(320, 768),
    TEXT: half(77, 768),
    "first_stage_model.decoder.conv_in.weight": half(512, 4, 3, 3),
}
VAE: Tensors = {"decoder.conv_in.weight": half(512, 4, 3, 3), "post_quant_conv.weight": half(4, 4)}
LORA: Tensors = {
    "lora_unet_mid_block_attentions_0_proj_in.lora_down.weight": half(4, 1280, 1, 1),
    "lora_unet_mid_block_attentions_0_proj_in.lora_up.weight": half(1280, 4, 1, 1),
}
CONTROLNET: Tensors = {
    "control_model.zero_convs.0.0.weight": half(320, 320, 1, 1),
    f"control_model.{ATTENTION}": half(320, 768),
}
ADAPTER: Tensors = {"body.0.block1.weight": half(320, 320, 3, 3), "conv_in.weight": half(320, 64)}
EMBEDDING: Tensors = {"emb_params": half(8, 768)}
MODELS: Mapping[str, Tensors] = {
    "checkpoint": CHECKPOINT,
    "vae": VAE,
    "lora": LORA,
    "controlnet": CONTROLNET,
    "t2i-adapter": ADAPTER,
    "embedding": EMBEDDING,
    "unknown": {"a": half(4), "b": half(4)},
}


def judged(role: str, tensors: Tensors, **metadata: str) -> Judged:
    return judge(role, tensors, metadata)


def refusal(role: str, tensors: Tensors, **metadata: str) -> str:
    return judged(role, tensors, **metadata).refusal


@pytest.mark.parametrize("kind", MODELS)
def test_a_file_is_known_by_the_tensors_that_comfyui_looks_for(kind: str) -> None:
    assert kind_of(MODELS[kind]) == kind


@pytest.mark.parametrize(
    ("kind", "tensors"),
    [
        ("vae", {"taesd_decoder.1.weight": half(64, 4, 3, 3), "vae_scale": half()}),
        ("controlnet", {"controlnet_cond_embedding.conv_in.weight": half(16, 3), "x": half()}),
        ("controlnet", {"input_hint_block.0.weight": half(16, 3, 3, 3), "x": half()}),
        ("t2i-adapter", {"adapter.body.0.resnets.0.block1.weight": half(320, 320), "x": half()}),
        ("embedding", {"clip_l": half(8, 768), "clip_g": half(8, 1280)}),
        ("embedding", {"any name": half(768)}),
    ],
)
def test_other_layouts_of_a_kind_are_known_too(kind: str, tensors: Tensors) -> None:
    assert kind_of(tensors) == kind


def test_the_numbers_of_a_checkpoint_are_counted_by_part_and_what_is_never_loaded_by_none() -> None:
    """A2.4, A2.7"""
    strange = {"model_ema.decay": half(9), "betas": half(1000), "cond_stage_model.logit": half(5)}
    found = judged("checkpoint", {**CHECKPOINT, **strange}).parts
    unet = 320 * 4 * 9 + 320 * 768
    assert found == {"unet": unet, "text_encoder": 77 * 768, "vae": 512 * 4 * 9}


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        ("vae", {"vae": 512 * 4 * 9 + 16}),
        ("lora", {"lora": 2 * 4 * 1280}),
        ("controlnet", {"controlnet": 320 * 320 + 320 * 768}),
        ("t2i-adapter", {"controlnet": 320 * 320 * 9 + 320 * 64}),
        ("embedding", {"embedding": 8 * 768}),
        ("unknown", {}),
    ],
)
def test_any_other_model_is_one_part(kind: Kind, part: Mapping[str, int]) -> None:
    """A2.7"""
    assert parts_of(kind, MODELS[kind]) == part


@pytest.mark.parametrize("role", ["checkpoint", "vae", "lora", "controlnet", "embedding"])
@pytest.mark.parametrize("kind", MODELS)
def test_a_file_of_another_kind_than_its_role_is_refused_and_its_folder_named(
    role: str, kind: str
) -> None:
    """M4.3: ComfyUI takes a checkpoint for a LoRA, and reports success without it."""
    found = judged(role, MODELS[kind])
    if kind == role or (role, kind) == ("controlnet", "t2i-adapter"):
        assert found == Judged(found.kind, "F16", parts=found.parts)
        return
    assert found.kind == kind
    assert ("Move it to $COMFYUI/models/" in found.refusal) == (kind != "unknown")
    assert found.warnings == ()


def test_a_lora_of_another_family_is_refused_and_what_it_says_of_itself_is_told() -> None:
    """M4.3"""
    name = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight"
    wide = refusal("lora", {name: half(4, 2048)}, ss_base_model_version="sdxl_base_v1-0")
    assert '(it says "sdxl_base_v1-0")' in wide
    assert "is 2048 wide where SD 1.5 has 768" in wide
    flux = {f"lora_unet_double_blocks_{n}_img_attn_qkv.lora_up.weight": half(4) for n in range(3)}
    assert "3 of its 3 layers" in refusal("lora", flux)
    assert "report success" in refusal("lora", {**flux, **LORA})


def test_a_few_layers_without_a_place_are_a_warning() -> None:
    """M4.3"""
    [warning] = judged("lora", {**LORA, "lora_te2_x.alpha": half()}).warnings
    assert "1 of 2 layers, such as lora_te2_x" in warning


@pytest.mark.parametrize(
    ("vectors", "fits"),
    [
        ({"emb_params": half(8, 768)}, True),
        ({"emb_params": half(8, 1024)}, False),
        ({"clip_g": half(8, 1280), "clip_l": half(8, 768)}, True),
        ({"clip_g": half(8, 1280)}, False),
        ({"word": half(768)}, True),
        ({"word": half()}, False),
    ],
)
def test_an_embedding_has_the_width_of_sd15s_text_encoder(vectors: Tensors, *, fits: bool) -> None:
    """M4.2"""
    assert bool(refusal("embedding", vectors)) != fits


@pytest.mark.parametrize(
    ("role", "changes", "why"),
    [
        ("checkpoint", {TEXT: None}, "no text encoder"),
        ("checkpoint", {f"{NET}.label_emb.0.0.weight": half(1280, 2816)}, "as SDXL does"),
        ("checkpoint", {f"{NET}.{ATTENTION}": half(320, 1024)}, "1024 wide, not 768"),
        ("checkpoint", {f"{NET}.input_blocks.0.0.weight": half(384, 4, 3, 3)}, "384 channels"),
        ("checkpoint", {f"{NET}.double_blocks.0.img_mlp.0.weight": half(4)}, "a transformer"),
        ("controlnet", {f"control_model.{ATTENTION}": half(640, 2048)}, "2048 wide, not 768"),
        ("controlnet", {"add_embedding.linear_1.weight": half(1280, 2816)}, "as SDXL does"),
        ("controlnet", {"controlnet_blocks.0.weight": half(4, 4)}, "a transformer"),
        ("vae", {"decoder.conv_in.weight": half(512, 16, 3, 3)}, "16 channels, not 4"),
    ],
)
def test_a_model_of_another_family_is_refused_with_the_reason(
    role: str, changes: Mapping[str, Tensor | None], why: str
) -> None:
    tensors = {
        name: tensor for name, tensor in {**MODELS[role], **changes}.items() if tensor is not None
    }
    assert why in refusal(role, tensors)
    assert "another family than SD 1.5" in refusal(role, tensors)


@pytest.mark.parametrize(
    ("role", "name", "told"),
    [
        ("checkpoint", f"{NET}.out.2.weight", "costs 400 MB; in fp16 it would be half, 200 MB"),
        ("controlnet", "control_model.a.weight", "costs 400 MB; in fp16 it would be half, 200 MB"),
        ("lora", "lora_unet_conv_in.lora_up.weight", "costs 400 MB"),
        ("checkpoint", "first_stage_model.decoder.a", ""),
        ("vae", "decoder.a.weight", ""),
        ("embedding", "emb_params", ""),
    ],
)
def test_fp32_is_told_with_its_cost_but_for_a_vae_which_is_right_in_fp32(
    role: str, name: str, told: str
) -> None:
    """A2.4, M3.1: fp16 for U-Net, ControlNet and LoRA, fp32 for the VAE."""
    large = half(100, 1_000_000, dtype="F32") if role != "embedding" else half(9999, 768)
    found = judged(role, {**MODELS[role], name: large})
    assert found.refusal == ""
    assert [told in text for text in found.warnings] == ([True] if told else [])


def test_a_few_numbers_in_fp32_are_not_worth_a_word() -> None:
    """kohya's trainer writes alpha as fp32 beside weights in fp16."""
    alpha = {"lora_unet_mid_block_attentions_0_proj_in.alpha": half(dtype="F32")}
    found = judged("lora", {**LORA, **alpha})
    assert found == Judged("lora", "F16", parts=found.parts)


def test_a_checkpoint_for_inpainting_is_told() -> None:
    entry = {f"{NET}.input_blocks.0.0.weight": half(320, 9, 3, 3)}
    [warning] = judged("checkpoint", {**CHECKPOINT, **entry}).warnings
    assert "inpainting" in warning


def test_the_type_of_most_numbers_is_the_files() -> None:
    assert judged("vae", {**VAE, "a": half(10**9, dtype="BF16")}).dtype == "BF16"
