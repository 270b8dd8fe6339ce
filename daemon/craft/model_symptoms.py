"""What the trade makes of the symptoms of model files: code -> title and first check."""

from __future__ import annotations

from collections.abc import Mapping

MODELS: Mapping[str, tuple[str, str]] = {
    "MODEL_MISSING": (
        "a model file is not in the engine's folders",
        (
            "Compare the name in the job file with those in ComfyUI's models folder, subfolder and"
            " ending included; `nightpress models` lists them."
        ),
    ),
    "MODEL_BROKEN": (
        "a model file is damaged or cut short",
        "Compare its size and SHA-256 with those of its source, and download it again.",
    ),
    "MODEL_FORBIDDEN": (
        "a model file that is not allowed",
        (
            "Use a .safetensors file inside the engine's own models folder: other formats can run"
            " code when they are opened."
        ),
    ),
    "MODEL_WRONG": (
        "a model of another kind or architecture",
        (
            "Use a model of Stable Diffusion 1.5 (a checkpoint has about 2 or 4 GB), in the folder"
            " of its kind; `nightpress models` says what each file is."
        ),
    ),
    "MODEL_MISMATCH": (
        "a model file is not the one that the settings expect",
        (
            "Compare its SHA-256 with that on the model's page; then download it again, or correct"
            " its line under [models] in nightpress.toml."
        ),
    ),
    "MODEL_CHANGED": (
        "a model file was replaced under its old name",
        "Give the new file a name of its own, and put the old one back for what it had drawn.",
    ),
    "HASHING": (
        "a model file is hashed for the first time",
        "Wait: `nightpress status` shows how far it is; `nightpress models --hash` does all.",
    ),
}
