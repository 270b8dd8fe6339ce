"""Which layers of a LoRA have a place in SD 1.5, by the names under which ComfyUI finds them."""

from __future__ import annotations

import pytest

from daemon.craft.lora_layers import Fit, fit, is_lora
from daemon.rehearsal.trainer_files import modules

KOHYA = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0"
TEXT = "lora_te_text_model_encoder_layers_11"


def layer(name: str, *, takes: int, gives: int, rank: int = 4) -> dict[str, tuple[int, ...]]:
    return {
        f"{name}.lora_down.weight": (rank, takes),
        f"{name}.lora_up.weight": (gives, rank),
        f"{name}.alpha": (),
    }


def test_every_layer_that_a_trainer_of_sd15_touches_has_a_place() -> None:
    """M4.3: all 264 of networks.lora, text encoder and U-Net."""
    shapes = {key: s for name in modules() for key, s in layer(name, takes=4, gives=4).items()}
    assert fit(shapes) == Fit(264, ())


@pytest.mark.parametrize(
    "name",
    [
        "lora_te1_text_model_encoder_layers_0_mlp_fc1",
        "text_encoder.text_model.encoder.layers.3.self_attn.q_proj",
        "text_encoders.clip_l.transformer.text_model.encoder.layers.3.mlp.fc2",
        "lora_unet_input_blocks_1_1_transformer_blocks_0_attn2_to_k",
        "lora_unet_output_blocks_11_1_proj_out",
        "lora_unet_middle_block_1_transformer_blocks_0_ff_net_0_proj",
        "lora_unet_down_blocks_3_resnets_1_conv2",
        "lora_unet_mid_block_resnets_0_time_emb_proj",
        "lora_unet_up_blocks_0_upsamplers_0_conv",
        "lora_unet_time_embedding_linear_1",
        "lycoris_up_blocks_3_attentions_2_proj_in",
        "unet.up_blocks.1.attentions.2.transformer_blocks.0.attn1.processor.to_q",
        "down_blocks.0.attentions.0.transformer_blocks.0.attn2.processor.to_out",
        "unet.mid_block.attentions.0.proj_in",
        "diffusion_model.input_blocks.4.1.transformer_blocks.0.attn1.to_out.0",
    ],
)
@pytest.mark.parametrize("end", [".lora_up.weight", ".hada_w1_a", ".lokr_w2", ".alpha", ".diff"])
def test_kohyas_lycoris_and_diffusers_names_are_known(name: str, end: str) -> None:
    """M4.3"""
    assert is_lora([name + ".lora_down.weight", name + end])
    assert fit({name + end: ()}) == Fit(1, ())


@pytest.mark.parametrize(
    "name",
    [
        "lora_te2_text_model_encoder_layers_0_mlp_fc1",
        "lora_te_text_model_encoder_layers_12_mlp_fc1",
        "lora_unet_down_blocks_2_attentions_0_transformer_blocks_1_attn1_to_q",
        "lora_unet_down_blocks_3_attentions_0_proj_in",
        "lora_unet_up_blocks_0_attentions_0_proj_in",
        "lora_unet_output_blocks_0_1_proj_in",
        "lora_unet_input_blocks_3_1_proj_in",
        "lora_unet_double_blocks_0_img_attn_qkv",
        "transformer.single_transformer_blocks.0.attn.to_q",
        "unet.up_blocks.1.attentions.2.transformer_blocks.0.attn1.to_q",
        "something_else",
    ],
)
def test_layers_of_other_families_have_no_place(name: str) -> None:
    """M4.3"""
    assert fit(layer(name, takes=4, gives=4)) == Fit(1, (name,))


@pytest.mark.parametrize(
    ("name", "takes", "gives", "wide"),
    [
        (f"{KOHYA}_attn2_to_k", 768, 640, None),
        (f"{KOHYA}_attn2_to_k", 1024, 640, (1024, 768)),
        (f"{KOHYA}_attn2_to_v", 2048, 640, (2048, 768)),
        (f"{KOHYA}_attn1_to_q", 640, 1280, (1280, 640)),
        (f"{KOHYA}_ff_net_0_proj", 640, 5120, None),
        (f"{KOHYA}_ff_net_2", 2560, 640, None),
        (f"{KOHYA}_ff_net_2", 2561, 640, (2561, 2560)),
        (f"{TEXT}_mlp_fc1", 768, 3072, None),
        (f"{TEXT}_mlp_fc1", 1024, 4096, (1024, 768)),
        (f"{TEXT}_self_attn_q_proj", 1024, 1024, (1024, 768)),
        ("lora_unet_input_blocks_2_1_proj_in", 640, 640, (640, 320)),
        ("lora_unet_input_blocks_4_1_proj_in", 1280, 1280, (1280, 640)),
        ("lora_unet_input_blocks_7_1_proj_in", 1280, 1280, None),
        ("lora_unet_output_blocks_5_1_proj_in", 1280, 1280, None),
        ("lora_unet_output_blocks_6_1_proj_in", 1280, 1280, (1280, 640)),
        ("lora_unet_down_blocks_0_resnets_0_conv1", 9999, 9999, None),
    ],
)
def test_a_layer_that_is_wider_than_there_cannot_fit(
    name: str, takes: int, gives: int, wide: tuple[int, int] | None
) -> None:
    """M4.3"""
    expected = (name, *wide) if wide else None
    assert fit(layer(name, takes=takes, gives=gives)).wide == expected


def test_the_first_that_is_too_wide_is_told_and_vectors_are_no_matrices() -> None:
    shapes = {
        f"{KOHYA}_attn1_to_q.lora_down.weight": (4,),
        **layer(f"{KOHYA}_attn1_to_k", takes=641, gives=640),
        **layer(f"{KOHYA}_attn1_to_v", takes=642, gives=640),
    }
    assert fit(shapes).wide == (f"{KOHYA}_attn1_to_k", 641, 640)


def test_a_checkpoint_is_no_lora() -> None:
    assert not is_lora(["model.diffusion_model.out.2.weight", "decoder.conv_in.weight", "alpha"])
