"""What the trade makes of the words in an engine's log: code -> title and first check."""

from __future__ import annotations

from collections.abc import Mapping

ENGINE_WORDS: Mapping[str, tuple[str, str]] = {
    "NAN_IN_PICTURE": (
        "the engine computed pixels that are no numbers",
        (
            "Read in the attempt's evidence which profiles gave the same, and with `nightpress log"
            " --code NAN_IN_PICTURE` which seeds; then try another seed, or another VAE."
        ),
    ),
    "LORA_UNMATCHED": (
        "a LoRA was made for another kind of model",
        (
            "Check what the LoRA was trained on: one for SDXL or Flux does nothing to SD 1.5. A few"
            " keys out of hundreds are harmless."
        ),
    ),
    "LORA_SHAPE": (
        "a LoRA's weights do not fit the checkpoint",
        "Check the LoRA's name in the job file, then what it was trained on: it must be SD 1.5.",
    ),
    "NODE_PACK_FAILED": (
        "a pack of custom nodes could not be imported",
        (
            "Read the traceback in the engine's log: a package is missing in ComfyUI's environment,"
            " or the pack needs CUDA, which a Mac does not have."
        ),
    ),
    "CPU_FALLBACK": (
        "a part of the work was done on the CPU",
        (
            "Update PyTorch in ComfyUI's environment; if the operator stays on the CPU, try another"
            " sampler or attention."
        ),
    ),
    "MEMORY_PRESSURE": (
        "the machine's memory was critical while a picture was drawn",
        (
            "Close what uses memory (a browser with many pages, an editor), then see `nightpress"
            " status`; a smaller picture or one without a ControlNet needs less."
        ),
    ),
    "VAE_TILED": (
        "the VAE ran out of memory and worked in tiles",
        "Close what else uses memory: tiles are slow, and the picture differs a little.",
    ),
}
