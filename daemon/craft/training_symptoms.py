"""What the trade makes of the symptoms of a training: code -> title and first check."""

from __future__ import annotations

from collections.abc import Mapping

TRAINING: Mapping[str, tuple[str, str]] = {
    "TRAINER_MISSING": (
        "there is no sd-scripts that can be used",
        "Set SD_SCRIPTS_PATH to its checkout, which has its own environment in venv/.",
    ),
    "TRAINER_UNFIT": (
        "sd-scripts is there, and cannot train on this machine",
        "Do what the sentence says; it is looked at again every five minutes.",
    ),
    "REGULARIZATION_SPOILT": (
        "most regularization pictures came out spoilt",
        "Draw a panel with the same checkpoint and VAE, and see what is wrong with that.",
    ),
    "TRAINER_ON_CPU": (
        "the trainer computes on the CPU",
        "See that its Python is an arm64 one and torch has MPS: python -m torch.utils.collect_env.",
    ),
    "TAGGER_FAILED": (
        "the WD14 tagger wrote no captions",
        "Read what it said; its model, onnx and onnxruntime belong to the trainer's environment.",
    ),
    "TRAINER_STALLED": (
        "a training made no step any more",
        "See whether the Mac swaps, or sleeps with its lid closed; it goes on from the last epoch.",
    ),
    "LATENTS_NAN": (
        "the VAE made no numbers of a training picture",
        "Try vae-ft-mse-840000-ema-pruned.safetensors; then look for odd pictures in the dataset.",
    ),
    "FALLBACK_FLOOD": (
        "the trainer computes much on the CPU",
        "Read in stderr.log which operators; update the trainer's torch.",
    ),
    "LOSS_TINY": (
        "the loss is nearly nothing before the end",
        "Look at grid.png, at the earlier checkpoints first: it may know its pictures by heart.",
    ),
    "TRAINING_SLOW": (
        "a training became slower while it ran",
        "See what is open beside it, whether the Mac swaps, and whether it is hot.",
    ),
    "PROBE_MEMORY": (
        "a training takes more memory than this machine can spare",
        "Write gradient_checkpointing = true, unet_only = true or a smaller network_dim.",
    ),
    "PROBE_LOSS": (
        "the short run before a training learns nothing",
        "Open some pictures and captions in resume/dataset/: are they what they should be?",
    ),
    "IN_TURNS": (
        "others may have a turn between the pictures of a series",
        "Nothing is wrong: the next ones are drawn in their turn.",
    ),
    "TRAINER_START": (
        "the training could not be started",
        "Read the sentence first; then see whether the studio's disk is full or cannot run it.",
    ),
    "TRAINER_BUSY": (
        "another process still has this attempt's lock",
        "Run lsof on the file `alive` in the attempt's folder, and end by hand what holds it.",
    ),
    "RECORD_NEWER": (
        "the training was begun by a newer nightpress",
        "Install that version again; the training is left alone until then.",
    ),
    "TRAINER_SILENT": (
        "the trainer said nothing for half an hour",
        "See whether the Mac swaps (Activity Monitor, Memory).",
    ),
    "EPOCH_SIZE": (
        "the trainer counts other steps than were planned",
        "Compare the pictures it counts, at the top of stderr.log, with those in resume/dataset/.",
    ),
    "MACHINE_RESTARTED": (
        "the machine was restarted while it trained",
        "See whether updates restart the machine at night.",
    ),
    "DATASET_CHANGED": (
        "the copy of the dataset is not what was accepted",
        "Drop the job's file again with rerun = true: it then trains from the folder as it is now.",
    ),
    "DATASET_GONE": (
        "the copy of the dataset is gone",
        "Nothing to do: the job's file is examined again. See who empties .nightpress/.",
    ),
    "CHECKPOINT_GONE": (
        "a checkpoint was changed or taken away before the training ended",
        "See who writes into the job's checkpoints/ folder; the others are as they were recorded.",
    ),
    "LORA_EXISTS": (
        "another file has the name of the approved LoRA",
        "Compare the file in the engine's models/loras with the checkpoint, and move it away.",
    ),
    "TRAINER_UNKNOWN": (
        "nobody saw how the training ended",
        "See who or what kills processes of the name shim.py.",
    ),
    "SHUT_DOWN": (
        "the training was stopped by a log-out or a shutdown",
        "It goes on when the daemon is back; nothing is wrong with it.",
    ),
    "KILLED": (
        "the process was killed from outside",
        'Search the Console app for "jetsam" at that time; else a person or a program did it.',
    ),
    "TERMINATED": (
        "the trainer was told to end, not by nightpress",
        "See who sends SIGTERM to python processes: a shutdown, Activity Monitor, a cleaning tool.",
    ),
    "INTERRUPTED": (
        "the trainer was interrupted from a keyboard",
        "Do not press Ctrl-C in the terminal of a training; `nightpress cancel JOB` ends one.",
    ),
    "LOG_FLOOD": (
        "the trainer wrote far too much",
        "Read the last lines of the training's log: one warning that repeats is the usual cause.",
    ),
    "NOTHING_TRAINED": (
        "the trainer found nothing to train on",
        "Check that the dataset's folder holds .png, .jpg or .webp pictures with their captions.",
    ),
    "LOSS_NAN": (
        "the loss is not a number any more",
        "Halve learning_rate first; then try the job with a VAE in fp32 and with other pictures.",
    ),
    "TRAINER_UNPROVEN": (
        "the trainer ended well and did not show that it saved",
        "Compare the version of sd-scripts with the one that the README names.",
    ),
    "CHECKPOINT_BROKEN": (
        "the trained file is missing or cut short",
        "Check the free space on the studio's disk.",
    ),
    "TRAINER_OPTIONS": (
        "the trainer does not know an option that it was given",
        "Compare the version of sd-scripts with the one that the README names.",
    ),
    "TRAINER_DOCUMENTS": (
        "the trainer refused the documents that were written for it",
        "Compare the version of sd-scripts with the one that the README names.",
    ),
    "TRAINER_PACKAGE": (
        "the trainer lacks a Python package",
        "Install sd-scripts' requirements.txt again in the trainer's own virtual environment.",
    ),
    "TRAINER_FAILED": (
        "the trainer failed",
        "Read the last twenty lines of the training's log.",
    ),
    "MPS_OOM": (
        "the GPU's memory was not enough for the training",
        "Close what else uses memory; set gradient_checkpointing = true, or a smaller network_dim.",
    ),
    "IMAGE_BROKEN": (
        "a picture of the dataset cannot be read",
        "Open each picture of the dataset in Preview: one is cut short, or is no picture at all.",
    ),
    "CAPTION_EMPTY": (
        "a caption of the dataset is empty",
        "Write the trigger and what is to be seen into the .txt that the sentence names.",
    ),
    "TOKENIZER_MISSING": (
        "CLIP's tokenizer is not on this machine",
        "Set [comfyui] program to ComfyUI's folder, whose comfy/sd1_tokenizer then serves.",
    ),
    "PRECISION": (
        "the trainer cannot compute in that precision here",
        'Set mixed_precision = "no" in the job file and drop it again.',
    ),
    "STATE_BROKEN": (
        "a saved state of the training cannot be read",
        "An earlier state is taken next. If it happens twice, check the disk.",
    ),
    "GRID_FAILED": (
        "the checkpoints' pictures could not be put together into grid.png",
        "See how much memory is free, then `nightpress retry JOB`; or approve one by its loss.csv.",
    ),
    "MEMORISED": (
        "a checkpoint draws its training images again",
        "Look at grid.png: approve an earlier checkpoint, or train fewer steps on more pictures.",
    ),
    "OVERFIT": (
        "a checkpoint follows its captions much better than other prompts",
        "Look at the novel prompts in grid.png first, and approve an earlier checkpoint.",
    ),
}
