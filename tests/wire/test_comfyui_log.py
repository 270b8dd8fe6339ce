"""What only the server's log tells is read from it, wherever a progress bar stands."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.craft.diagnosis import diagnosis
from daemon.wire.comfyui_log import Words, codes, read_words, scores

# As 0.3.64 wrote them; paths are shortened and the program's own lines left out.
NAN = (
    "got prompt\nmodel_type EPS\nRequested to load BaseModel\n"
    "\r  0%|          | 0/3 [00:00<?, ?it/s]"
    "\r 33%|███▎      | 1/3 [00:00<00:00,  7.15it/s]"
    "\r100%|██████████| 3/3 [00:00<00:00,  4.84it/s]\n"
    "/ComfyUI/nodes.py:1594: RuntimeWarning: invalid value encountered in cast\n  …\n"
    "Prompt executed in 5.13 seconds\n"
)
UNMATCHED = (
    "lora key not loaded: lora_te9_text_model_encoder_layers_0_mlp_fc1.alpha\n"
    "lora key not loaded: lora_te9_text_model_encoder_layers_0_mlp_fc1.lora_down.weight\n"
    "lora key not loaded: lora_te9_text_model_encoder_layers_0_mlp_fc1.lora_up.weight\n"
)
SHAPE = (
    "Requested to load SD1ClipModel\n"
    "ERROR lora clip_l.transformer.text_model.encoder.layers.9.mlp.fc1.weight"
    " shape '[3072, 768]' is invalid for input of size 4718592\n"
    "ERROR lora diffusion_model.input_blocks.1.1.proj_in.weight"
    " shape '[320, 320, 1, 1]' is invalid for input of size 204800\n"
)
PACKS = (
    "Traceback (most recent call last):\n"
    '  File "/ComfyUI/nodes.py", line 2131, in load_custom_node\n'
    "ModuleNotFoundError: No module named 'no_such_module'\n"
    "\n"
    "Cannot import /base/custom_nodes/broken_pack module for custom nodes: No module named …\n"
    "\n"
    "Import times for custom nodes:\n"
    "   0.0 seconds (IMPORT FAILED): /base/custom_nodes/nothing_in_it.py\n"
    "   0.0 seconds: /base/custom_nodes/good_pack\n"
    "   0.0 seconds (IMPORT FAILED): /base/custom_nodes/cuda pack\n"
    "   0.0 seconds (IMPORT FAILED): /base/custom_nodes/broken_pack\n"
)
FALLBACK = (
    "/ComfyUI/comfy/sample.py:11: UserWarning: The operator 'aten::_linalg_svd.U' is not currently"
    " supported on the MPS backend and will fall back to run on the CPU. This may have performance"
    " implications. (Triggered internally at /aten/src/ATen/mps/MPSFallback.mm:14.)\n  …\n"
)
MPS_MEMORY = (
    "MPS backend out of memory (MPS allocated: 17.90 GB, other allocations: 200.00 MB, max allowed:"
    " 18.13 GB). Tried to allocate 256.00 MB on private pool. Use"
    " PYTORCH_MPS_HIGH_WATERMARK_RATIO=0.0 to disable upper limit for memory allocations (may cause"
    " system failure)."
)
MEMORY = (
    f"got prompt\n!!! Exception during processing !!! {MPS_MEMORY}\n"
    "Traceback (most recent call last):\n"
    '  File "/ComfyUI/execution.py", line 496, in execute\n'
    "    …\n"
    "              ^^^^^^^^^\n"
    f"RuntimeError: {MPS_MEMORY}\n"
    "\n"
    "Prompt executed in 0.01 seconds\n"
)
OTHER_MEMORY = (
    "!!! Exception during processing !!! Allocation on device\n"
    "Traceback (most recent call last):\n"
    '  File "/ComfyUI/execution.py", line 496, in execute\n'
    "torch.OutOfMemoryError: Allocation on device\n"
    "\n"
    "Got an OOM, unloading all loaded models.\n"
)
BUFFER = "Traceback (most recent call last):\n  …\nRuntimeError: Invalid buffer size: 19.38 GiB\n"
TILED = (
    "Warning: Ran out of memory when regular VAE decoding, retrying with tiled VAE decoding.\n"
    "Warning: Ran out of memory when regular VAE encoding, retrying with tiled VAE encoding.\n"
)
NO_VAE = (
    "!!! Exception during processing !!! ERROR: VAE is invalid: None\n\nIf the VAE is …\n"
    "Traceback (most recent call last):\n"
    '  File "/ComfyUI/comfy/sd.py", line 590, in throw_exception_if_invalid\n'
    "RuntimeError: ERROR: VAE is invalid: None\n\nIf the VAE is …\n"
)


def test_nan_in_a_picture_is_heard_although_the_prompt_succeeded() -> None:
    """A3.3"""
    assert read_words(NAN) == Words(nan_warnings=1)
    assert codes(read_words(NAN * 2)) == [
        ("NAN_IN_PICTURE", "The engine warned 2 times of values that are NaN.")
    ]


def test_a_lora_that_fits_nothing_is_counted_by_its_keys() -> None:
    assert read_words(UNMATCHED) == Words(lora_keys_unmatched=3)
    [(code, sentence)] = codes(read_words(UNMATCHED))
    assert (code, "3 keys of a LoRA" in sentence) == ("LORA_UNMATCHED", True)


def test_of_a_lora_of_another_shape_the_first_key_is_named() -> None:
    words = read_words(SHAPE)
    assert words.lora_shapes == 2
    assert words.lora_shape.startswith("clip_l.transformer.text_model.encoder.layers.9")
    [(code, sentence)] = codes(words)
    assert code == "LORA_SHAPE"
    assert "2 keys of a LoRA, first clip_l.transformer" in sentence


def test_packs_that_could_not_be_imported_are_named() -> None:
    """A4.4: the log's part."""
    words = read_words(PACKS + "IMPORT FAILED: nodes_upscale_model.py\n")
    assert words.failed_packs == (
        "nothing_in_it.py",
        "cuda pack",
        "broken_pack",
        "nodes_upscale_model.py",
    )
    [(code, sentence)] = codes(words)
    assert code == "NODE_PACK_FAILED"
    assert "4 node packs (nothing_in_it.py, cuda pack, broken_pack, " in sentence


def test_fallbacks_to_the_cpu_are_counted_by_operator() -> None:
    """A1.5"""
    words = read_words(FALLBACK * 2 + FALLBACK.replace("_linalg_svd.U", "nonzero"))
    assert words == Words(fallbacks={"aten::_linalg_svd.U": 2, "aten::nonzero": 1})
    [(code, sentence)] = codes(words)
    assert code == "CPU_FALLBACK"
    assert "aten::_linalg_svd.U 2 times, aten::nonzero once" in sentence


@pytest.mark.parametrize("text", [MEMORY, OTHER_MEMORY, BUFFER])
def test_a_failure_for_want_of_memory_counts_once_however_often_its_text_is_printed(
    text: str,
) -> None:
    words = read_words(text)
    assert words.out_of_memory == 1
    assert codes(words) == [("OUT_OF_MEMORY", "The GPU ran out of memory once.")]


def test_a_vae_that_went_over_to_tiles_is_heard() -> None:
    assert [code for code, _ in codes(read_words(TILED))] == ["VAE_TILED"]


@pytest.mark.parametrize(
    "bar",
    [
        " 67%|██████▋   | 2/3 [00:00<00:00, 12.54it/s]",
        "Generating:   0%|          | 0/1 [00:00<?, ?it/s]",
        "\r 33%|███▎      | 1/3 [00:00<00:00,  7.15it/s]\r100%|██████████| 3/3 [00:01<00:00]",
    ],
)
@pytest.mark.parametrize("text", [NAN, UNMATCHED, SHAPE, PACKS, FALLBACK, MEMORY, TILED])
def test_a_bar_before_the_words_hides_nothing(text: str, bar: str) -> None:
    assert read_words(bar + text) == read_words(text)
    assert read_words("\n".join(bar + line for line in text.split("\n"))).nan_warnings == (
        read_words(text).nan_warnings
    )


def test_a_quiet_log_says_nothing() -> None:
    text = "got prompt\nWARNING: No VAE weights detected, VAE not initalized.\n100%|█| 3/3 [00:00]"
    assert read_words(text) == Words()
    assert (codes(Words()), scores(Words())) == ([], {})


def test_only_counts_that_are_not_zero_belong_to_a_picture() -> None:
    assert scores(read_words(NAN)) == {"nan_warnings": 1.0}
    assert scores(read_words(UNMATCHED + FALLBACK * 2)) == {
        "lora_keys_unmatched": 3.0,
        "cpu_fallbacks": 2.0,
    }


def test_every_code_has_a_first_check() -> None:
    everything = NAN + UNMATCHED + SHAPE + PACKS + FALLBACK + MEMORY + TILED
    found = [code for code, _ in codes(read_words(everything))]
    assert len(found) == 7
    assert [code for code in found if diagnosis(code) == diagnosis("NO_SUCH_CODE")] == []


@given(st.text(max_size=400) | st.text(alphabet="\r\n 0123456789%|[]/: EROlra'ashpe", max_size=400))
def test_any_text_is_read_and_told_in_one_printable_line(text: str) -> None:
    told = codes(read_words(text + SHAPE.replace("clip_l", text.replace(" ", "") or "x")))
    assert all(sentence.isprintable() for _, sentence in told)
