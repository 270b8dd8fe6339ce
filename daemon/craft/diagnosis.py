"""What the trade makes of a symptom: a code -> its name, and what to look at first.

Law: every code that a job or the engine can show has a first check of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from daemon.craft.engine_symptoms import ENGINE_PROCESS, ENGINE_WORDS
from daemon.craft.machine_symptoms import MACHINE
from daemon.craft.model_symptoms import MODELS
from daemon.craft.training_symptoms import TRAINING


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """``title`` names the symptom in a few words; ``first_check`` says what to do, a sentence."""

    title: str
    first_check: str


def first_check(code: str) -> str:
    """What to look at first; '' where there is no code, for then nothing is wrong."""
    return diagnosis(code).first_check if code else ""


def diagnosis(code: str) -> Diagnosis:
    """The symptom behind a code; one that is not known here leads to the log."""
    unknown = Diagnosis("unknown symptom", "Read the sentence beside it, then `nightpress log`.")
    return _SYMPTOMS.get(code, unknown)


# The table of requirements 3.9: what people see first, in the order they meet it.
_SEEN: Mapping[str, Diagnosis] = {
    "SLOW_CPU_FALLBACK": Diagnosis(
        "slow: more than three minutes for 512x512 and 20 steps",
        "Look for fallback warnings in the engine's log, then at the device in `nightpress status`"
        " (it must say mps) and at the GPU history in Activity Monitor.",
    ),
    "BLACK_OR_GRAY": Diagnosis(
        "the picture is black or gray",
        "Run the VAE in fp32 first (start ComfyUI with --fp32-vae), then try the job again. A"
        ' picture that is meant to be black wants quality = "off".',
    ),
    "WASHED_OUT": Diagnosis(
        "the picture is washed out",
        "Check the VAE's name in the job file first (vae-ft-mse-840000-ema-pruned.safetensors"
        " suits SD 1.5), then run the VAE in fp32.",
    ),
    "OOM_KILL": Diagnosis(
        "the process was killed while memory was short",
        'Search the Console app for "killed by jetsam" at that time, then close what else uses'
        " memory.",
    ),
    "WS_SILENT": Diagnosis(
        "the engine's socket said nothing for a minute",
        "See whether the result came by polling (`nightpress log JOB`); if not, check that the"
        " prompt was posted with the socket's client_id and that no proxy stands between.",
    ),
    "COMFY_NOT_READY": Diagnosis(
        "the engine does not answer",
        "See whether ComfyUI has finished starting: open its address in a browser, and read the"
        " last lines of its log.",
    ),
    "LORA_POSE": Diagnosis(
        "the right face in the wrong pose",
        "Try an earlier checkpoint of the LoRA: the last one often knows the training poses best.",
    ),
    "TRIGGER_BLEED": Diagnosis(
        "the trigger word draws something by itself",
        "Choose another trigger: a made-up word that the checkpoint has never seen.",
    ),
    "MODEL_LOAD_SLOW": Diagnosis(
        "a model took more than a minute to load",
        "See whether the file is fp16 safetensors: dtype and bytes are in the picture's lock file.",
    ),
}

_PICTURES: Mapping[str, Diagnosis] = {
    "PICTURE_BROKEN": Diagnosis(
        "what came back is no whole picture",
        "Check the free space on the engine's disk: a picture cut short means that it was full.",
    ),
    "PIXELS_FAILED": Diagnosis(
        "the process that decodes pictures does not start",
        "Read the end of the daemon's log, then install the packages of requirements.lock again.",
    ),
    "WRONG_SIZE": Diagnosis(
        "the picture has another size than the job asked for",
        "Check that the template's size slots lead to its latent, and that nothing scales after.",
    ),
    "HINT_BROKEN": Diagnosis(
        "the engine could not open the hint image",
        "Open the job's input-….png; save the hint again as PNG and drop the job again.",
    ),
    "HINT_GONE": Diagnosis(
        "the copy of the hint image is gone",
        "Nothing to do: the job's file is examined again. See who empties .nightpress/.",
    ),
    "OUTPUT_MISMATCH": Diagnosis(
        "the engine's output is not that of this prompt",
        "Check that the template has one SaveImage node, and its filename_prefix in a slot.",
    ),
    "OUTPUT_MISSING": Diagnosis(
        "the engine drew a picture and has no file of it",
        "Check that nothing empties ComfyUI's output folder while it works.",
    ),
    "RESULT_GONE": Diagnosis(
        "the drawn picture was lost before it was published",
        "Nothing to do: it is drawn again. If it happens twice, see who empties .nightpress/.",
    ),
}

_ENGINE: Mapping[str, Diagnosis] = {
    "ENGINE_STARTING": Diagnosis(
        "the engine has not answered yet",
        "Wait a minute; ComfyUI loads its nodes before it opens its port.",
    ),
    "ENGINE_MISSING": Diagnosis(
        "the engine that this job was accepted for is not set",
        "Set COMFYUI_BASE_PATH, or [comfyui] url in nightpress.toml, and start the daemon again.",
    ),
    "INBOX_BLOCKED": Diagnosis(
        "something stands where a file has to go",
        "Look at the path that is named: is a file or a link where a folder belongs? Move it away.",
    ),
    "ENGINE_STUCK": Diagnosis(
        "the engine answers and does not work",
        "Restart ComfyUI: its worker thread is dead, and no interrupt reaches it.",
    ),
    "ENGINE_TROUBLE": Diagnosis(
        "one attempt after the other was lost",
        "Read the end of the engine's log, restart the engine, then `nightpress resume`.",
    ),
    "ENGINE_GONE": Diagnosis(
        "the engine went away while it worked",
        "Read the end of the engine's log; if it was killed, look for memory pressure at that"
        " time.",
    ),
    "ENGINE_START": Diagnosis(
        "the engine could not be started",
        "Read the sentence: it has the last words of the engine's own log.",
    ),
    "ENGINE_UNREACHABLE": Diagnosis(
        "nothing answers at the engine's address",
        "See whether ComfyUI runs, and whether [comfyui] url is the address that it prints.",
    ),
    "ENGINE_SILENT": Diagnosis(
        "the engine took a question and did not answer in time",
        "See whether the Mac is swapping (Activity Monitor, Memory); a busy ComfyUI answers later.",
    ),
    "ENGINE_UNCLEAR": Diagnosis(
        "the engine's answers contradict one another",
        "See whether ComfyUI was restarted, or whether somebody else empties its queue.",
    ),
    "PROMPT_LOST": Diagnosis(
        "the engine no longer knows the prompt that it was sent",
        "See whether ComfyUI was restarted (its log begins anew): its queue lives in memory only.",
    ),
    "ENGINE_BAD_ANSWER": Diagnosis(
        "the engine's answer has an unknown form",
        "See whether it is ComfyUI that answers at [comfyui] url, and which version of it.",
    ),
    "STALLED": Diagnosis(
        "the engine shows no progress",
        "See whether ComfyUI still works on anything (its page, its log); if not, restart it.",
    ),
    "QUEUE_BLOCKED": Diagnosis(
        "the prompt waits behind others in the engine's queue",
        "Look at ComfyUI's queue: a prompt that never ends there needs a restart of the engine.",
    ),
    "STRANGER": Diagnosis(
        "the engine holds another prompt under this job's id",
        "See who else sends prompts to this ComfyUI; nightpress wants one to itself.",
    ),
    "VALIDATION": Diagnosis(
        "the engine refused the graph",
        "Read the node that the sentence names: a model that is not installed, or a node that"
        " this ComfyUI does not know.",
    ),
    "TEMPLATE": Diagnosis(
        "the workflow template does not fit the job",
        "Mend the template in workflows/ that the sentence names, then `nightpress retry JOB`.",
    ),
    "NODE_ERROR": Diagnosis(
        "a node failed while it ran",
        "Read the node and the message in the sentence; a model of the wrong kind is the usual"
        " cause.",
    ),
    "NODE_MISSING": Diagnosis(
        "the engine does not have a node that the template uses",
        "Look at ComfyUI's version in `nightpress status`; a newer one may have the node.",
    ),
    "NODE_FORBIDDEN": Diagnosis(
        "a node of the template comes from a pack that is not allowed",
        "Read which pack the sentence names; [comfyui] custom_nodes in nightpress.toml allows it.",
    ),
    "OUT_OF_MEMORY": Diagnosis(
        "the GPU's memory was not enough",
        "Close what else uses memory, then ask for a smaller picture, or drop the ControlNet.",
    ),
    "GPU_BUSY": Diagnosis(
        "another studio of yours is using the GPU",
        "Run `nightpress status` in the other studio; this one starts when that one has ended.",
    ),
}

_QUEUE: Mapping[str, Diagnosis] = {
    "IN_LINE": Diagnosis("others are before it", "Give it a higher priority if it cannot wait."),
    "GPU_LEASED": Diagnosis("next in line", "Nothing to do: one job at a time has the GPU."),
    "STARTING": Diagnosis("about to start", "Nothing to do."),
    "PAUSED": Diagnosis("the press is paused", "Run `nightpress resume`."),
    "CANCELLED": Diagnosis(
        "cancelled by you", "Run `nightpress retry JOB` if you want it after all."
    ),
    "INTERNAL": Diagnosis(
        "a mistake in nightpress itself",
        "Keep .nightpress/logs and report it with the sentence; the job's file is not at fault.",
    ),
    "EFFECT_FAILED": Diagnosis(
        "a piece of work of the daemon itself failed",
        "Read the end of .nightpress/logs; it is tried again by itself.",
    ),
    "REJECTED": Diagnosis(
        "the file asks for something that cannot be done",
        "Mend the lines that are named, and drop the file again; `nightpress check FILE` says"
        " beforehand what will be said of it.",
    ),
}

_DISK: Mapping[str, Diagnosis] = {
    "DISK_LOW": Diagnosis(
        "little space is left on the studio's disk",
        "Free some space, or lower [disk] min_free_gb in nightpress.toml.",
    ),
    "DISK_FULL": Diagnosis(
        "the disk is full",
        "Free some space on the studio's disk.",
    ),
    "WRITE_FAILED": Diagnosis(
        "a file could not be written",
        "Check that the studio's folder is yours to write to and that its disk is still there.",
    ),
    "READ_FAILED": Diagnosis(
        "a file could not be read",
        "Check that its owner is you and that the disk is well (Disk Utility, First Aid).",
    ),
    "NOT_FOUND": Diagnosis("a file is not there", "See whether it was moved or renamed."),
    "NOT_A_FILE": Diagnosis(
        "not an ordinary file", "Put the file itself there, not a folder or a link to it."
    ),
    "NOT_OURS": Diagnosis(
        "a file that others can change",
        "Copy the file, so that it is yours alone: no other owner and no second hard link.",
    ),
    "OUTSIDE": Diagnosis(
        "a path that leads out of the studio",
        "Put the file inside the studio, with no link among the folders on the way.",
    ),
    "INBOX_UNREADABLE": Diagnosis(
        "a file in the inbox cannot be read",
        "Check that its owner is you, then drop it again as a new file.",
    ),
    "LEDGER_INCOMPLETE": Diagnosis(
        "a ledger is damaged, or older than the outbox",
        "Run `nightpress verify`; stop the daemon, take the segment from git again, then start it.",
    ),
    "LEDGER_RESTORED": Diagnosis(
        "git or an editor had taken lines out of the ledger; they were put back",
        "Commit ledger/ before you stash, reset or check out: then git has nothing to take away.",
    ),
    "GIT_CHECKPOINT": Diagnosis(
        "the ledger could not be committed to git",
        "Do what the sentence names (finish the merge, git switch BRANCH, remove a stale"
        ' index.lock); it is tried again every hour, or not at all with [git] checkpoint = "off".',
    ),
    "CHANGING": Diagnosis(
        "a file changed while it was read", "Wait until it is written, then drop the job again."
    ),
}

_TOLD = {**ENGINE_PROCESS, **ENGINE_WORDS, **MACHINE, **MODELS, **TRAINING}
_ELSEWHERE = {code: Diagnosis(*told) for code, told in _TOLD.items()}
_SYMPTOMS: Mapping[str, Diagnosis] = {
    **_SEEN,
    **_PICTURES,
    **_ENGINE,
    **_QUEUE,
    **_DISK,
    **_ELSEWHERE,
}
