"""What the trade makes of an engine's words and of its process: code -> title, first check."""

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
    "CORRUPTED": (
        "a part of the picture is garbage",
        (
            "Draw it again from the same seed first: garbage that moves or goes is memory, so close"
            " what else uses the GPU; garbage that stays is the VAE, so run it in fp32. A picture"
            " that is meant to be so wants `nightpress approve`."
        ),
    ),
    "CACHED": (
        "the engine gave a result of its cache instead of drawing",
        "Look whether another program uses this ComfyUI; then reproduce the picture again.",
    ),
    "HINT_CHANGED": (
        "the job's copy of its hint image is gone or was changed",
        "Leave the files in outbox/ as they are; `nightpress again` takes the hint anew.",
    ),
    "STEPS_SLOWING": (
        "the first steps of a picture are fast and the later ones slower",
        (
            "Close what else uses memory or the GPU, let the Mac cool down, then"
            " run `nightpress calibrate` again."
        ),
    ),
    "CANARY_PENDING": (
        "nothing is made before the reference run is green",
        "Run `nightpress calibrate`, or wait: it begins by itself once a job has named its models.",
    ),
    "CANARY_FAILED": (
        "the reference run is far too slow on what draws now",
        (
            "Compare the two calibration.measured lines in `nightpress log`: what was updated"
            " between them, macOS, torch, ComfyUI, its nodes or flags, is the first suspect."
        ),
    ),
    "HASH_CHANGED": (
        "a file that went into the picture is another one now",
        (
            "Bring back the file with the SHA-256 that the lock names, under its name; `nightpress"
            " models` shows what is there."
        ),
    ),
    "ORIGINAL_GONE": (
        "the published picture that was to be drawn again is not there any more",
        "Bring back the job's folder in outbox/, from git or a backup; then reproduce it again.",
    ),
    "EMPTY_POSE_MAP": (
        "the template's preprocessor found nothing in the hint image",
        (
            "Look at the .map.png beside the picture, then at the hint image: a figure or lines"
            " must stand out; lower the preprocessor's thresholds, or see that it has its models."
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

ENGINE_PROCESS: Mapping[str, tuple[str, str]] = {
    "ENGINE_RESTING": (
        "the engine is switched off for a training",
        "Nothing to do: it is started again when the training has ended.",
    ),
    "ENGINE_ENDED": (
        "the engine's server ended by itself",
        (
            "Read how it ended in the sentence; a kill while memory was short wants fewer programs"
            " open. It is started again by itself."
        ),
    ),
    "ENGINE_STOP": (
        "the engine could not be ended",
        "End the process by hand: its shim was killed, or it does not heed any signal.",
    ),
    "ENGINE_ON_CPU": (
        "the engine draws on the CPU",
        "Take --cpu out of ComfyUI's arguments, then see in its log that the device is mps.",
    ),
    "ENGINE_STRANGER": (
        "another program answers at the engine's port",
        "Nothing to do: the engine is started again at another port. See who took the first one.",
    ),
    "ENGINE_CHANGED": (
        "somebody restarted or replaced the engine",
        "Nothing to do if that was you; pictures of another version may differ a little.",
    ),
    "ENGINE_EXPOSED": (
        "the engine can be reached from outside this machine",
        "Start ComfyUI with --listen 127.0.0.1: it asks nobody who they are.",
    ),
    "ENGINE_SHARED": (
        "somebody else uses the engine",
        "Wait until its queue is empty, or give nightpress a ComfyUI of its own.",
    ),
}
