"""Bad job files, as people and programs really drop them, and what the answer has to say.

Each: a name, the bytes, the file's stem, then the line, the key and words of one of its complaints.
"""

from __future__ import annotations

from typing import NamedTuple

PANEL = (
    'kind = "panel"\n'
    'prompt = "spyke_plasma_v1, rain"\n'
    'checkpoint = "anything-v5.safetensors"\n'
    'vae = "vae-ft-mse-840000-ema-pruned.safetensors"\n'
)
TRAIN = (
    'kind = "train"\n'
    'trigger = "spyke_plasma_v1"\n'
    'dataset = "datasets/spyke"\n'
    'checkpoint = "anything-v5.safetensors"\n'
    'vae = "vae-ft-mse-840000-ema-pruned.safetensors"\n'
)
NET = (
    "[controlnet]\n"
    'model = "control_v11p_sd15_openpose.safetensors"\n'
    'image = "poses/ch01_p003.png"\n'
)


class Bad(NamedTuple):
    """One bad file. ``words`` must all be in the text of the complaint at ``line`` and ``key``."""

    name: str
    data: bytes
    line: int
    key: str
    words: tuple[str, ...]
    stem: str = "ch01_p003"


def bad_panel(name: str, more: str, line: int, key: str, *words: str) -> Bad:
    """A panel that was right until ``more`` was written below its four lines."""
    return Bad(name, (PANEL + more).encode(), line, key, words)


def bad_train(name: str, more: str, line: int, key: str, *words: str) -> Bad:
    """A training that was right until ``more`` was written below its five lines."""
    return Bad(name, (TRAIN + more).encode(), line, key, words)


def bad_approval(name: str, more: str, line: int, key: str, *words: str) -> Bad:
    """An approval that was right but for ``more``, or for the lack of it."""
    data = f'kind = "approve"\njob = "a_v1"\n{more}'.encode()
    return Bad(f"approve {name}", data, line, key, words)


NO_TOML = (
    Bad("empty", b"", 0, "", ("empty",)),
    Bad("rich text", b'{\\rtf1\\ansi kind = "panel"}', 0, "", ("RTF", "Make Plain Text")),
    Bad("BOM", b"\xef\xbb\xbf" + PANEL.encode(), 0, "", ("BOM", "UTF-8")),
    Bad("UTF-16", PANEL.encode("utf-16"), 0, "", ("UTF-16", "UTF-8")),
    Bad("UTF-16, no BOM", PANEL.encode("utf-16-le"), 0, "", ("UTF-16",)),
    Bad("NUL", PANEL.encode() + b"\0", 0, "", ("NUL",)),
    Bad("Latin-1", 'kind = "panel"\nprompt = "Grüße"\n'.encode("latin-1"), 2, "", ("UTF-8",)),
    Bad("JSON", b'{"kind": "panel"}', 0, "", ("JSON", "steps = 20")),
    Bad("Markdown", b"```toml\n" + PANEL.encode() + b"```\n", 0, "", ("fence",)),
    Bad("a picture", b"\x89PNG\r\n\x1a\n\0\0", 0, "", ("picture", "poses/")),
    Bad("too large", b"#" * 16_385, 0, "", ("16385", "16384")),
    bad_panel("curly quotes", "negative = “blurry”\n", 5, "", "curly", "Smart Quotes"),
    bad_panel("web blank", "steps =\u00a020\n", 5, "", "special blank", "U+00A0"),
    bad_panel("colon", "steps: 20\n", 5, "steps", "=", "colon"),
    bad_panel("no quotes", "negative = blurry hands\n", 5, "negative", 'negative = "blurry hands"'),
    bad_panel("open text", 'negative = "blurry\nsteps = 20\n', 5, "negative", "never closed", '"'),
    bad_panel("open long text", 'negative = """blurry\n', 5, "negative", "never closed", '"""'),
    bad_panel("open list", "seeds = [1, 2\nsteps = 20\n", 5, "seeds", "never closed", "]"),
    bad_panel("capital True", "rerun = True\n", 5, "rerun", "written true"),
    bad_panel("comma", "cfg = 7,5\n", 5, "cfg", "decimal comma", "7.5"),
    bad_panel("zero first", "seed = 007\n", 5, "seed", "begin with 0", "Write 7"),
    bad_panel("bare point", "cfg = .7\n", 5, "cfg", "both sides"),
    bad_panel("inner quotes", 'negative = "a "bad" hand"\n', 5, "negative", "ends it"),
    bad_panel("no value", "cfg =\n", 5, "cfg", "no value"),
    bad_panel("backslash", 'negative = "C:\\models"\n', 5, "negative", "\\", "/"),
    bad_panel("twice", "steps = 20\nsteps = 25\n", 6, "steps", "twice", "line 5"),
    bad_panel("deep", "x = " + "[" * 2000, 5, "", "brackets open"),
    bad_panel("dotted", "a" + ".a" * 4000 + " = 1", 5, "", "dots in one line"),
    bad_panel("endless number", "seed = " + "9" * 5000, 5, "", "5000 characters"),
)

PANELS = (
    Bad("no kind", PANEL.encode().partition(b"\n")[2], 0, "kind", ('kind = "panel"', "missing")),
    Bad("wrong kind", b'kind = "panels"\n', 1, "kind", ('kind = "panel"',)),
    Bad("no vae", PANEL.partition("vae =")[0].encode(), 0, "vae", ("vae-ft-mse-840000", "never")),
    Bad("no prompt", b'kind = "panel"\n', 0, "prompt", ("missing", "prompt =")),
    Bad("capitals", PANEL.encode(), 0, "panel", ("ch01_page_3.toml", "ch01_page_3"), "Ch01 Page 3"),
    bad_panel("capital name", 'panel = "CH01"\n', 5, "panel", 'panel = "ch01"'),
    bad_panel("long ref", f'ref = "{"r" * 65}"\n', 5, "ref", "64"),
    bad_panel("ref in two lines", 'ref = "a\\nb"\n', 5, "ref", "printable"),
    bad_panel("priority", "priority = 10\n", 5, "priority", "-9 to 9"),
    bad_panel("768 x 768", "width = 768\nheight = 768\n", 5, "width", "393216", "16 GB", "624"),
    bad_panel(
        "768 wide",
        "width = 768\n",
        5,
        "width",
        "589824",
        "width = 512 and height = 768",
        "width = 768 and height = 512",
    ),
    bad_panel("too wide", "width = 1024\nheight = 384\n", 5, "width", "768", "16 GB"),
    bad_panel("too low", "height = 32\n", 5, "height", "64 to 768"),
    bad_panel("grid", "width = 500\n", 5, "width", "multiples of 8", "width = 496", "width = 504"),
    bad_panel("text for number", 'steps = "20"\n', 5, "steps", "whole number", "without quotes"),
    bad_panel("true for number", "steps = true\n", 5, "steps", "whole number", "true"),
    bad_panel("fraction", "steps = 20.5\n", 5, "steps", "whole number", "20.5"),
    bad_panel("date", "seed = 2026-01-01\n", 5, "seed", "date"),
    bad_panel("nan", "cfg = nan\n", 5, "cfg", "finite"),
    bad_panel("61 steps", "steps = 61\n", 5, "steps", "1 to 60", "61"),
    bad_panel("cfg", "cfg = 0.5\n", 5, "cfg", "1 to 30"),
    bad_panel("typo", "stesp = 20\n", 5, "stesp", "`steps`", "steps = 20"),
    bad_panel("unknown", "zzzzzz = 20\n", 5, "zzzzzz", "The keys are", "prompt"),
    bad_panel("batch", "batch_size = 2\n", 5, "batch_size", "one picture at a time", "variations"),
    bad_panel("seed twice", "seed = 1\nseeds = [2]\n", 6, "seeds", "`seed` and `seeds`"),
    bad_panel("seed too large", f"seed = {2**53}\n", 5, "seed", "2^53-1"),
    bad_panel("equal seeds", "seeds = [4, 5, 4]\n", 5, "seeds", "Seed 4", "twice"),
    bad_panel("no seeds", "seeds = []\n", 5, "seeds", "empty"),
    bad_panel("101 seeds", f"seeds = {list(range(101))}\n", 5, "seeds", "101", "100"),
    bad_panel("variations", "variations = 0\n", 5, "variations", "1 to 100"),
    bad_panel("sampler", 'sampler = "Euler a"\n', 5, "sampler", '"euler_ancestral"'),
    bad_panel("sampler", 'sampler = "DPM++ 2M"\n', 5, "sampler", '"dpmpp_2m"'),
    bad_panel("scheduler", 'scheduler = "kerras"\n', 5, "scheduler", 'scheduler = "karras"'),
    bad_panel("workflow", 'workflow = "x/panel.json"\n', 5, "workflow", 'workflow = "panel"'),
    bad_panel("quality", "quality = false\n", 5, "quality", '"on" or "off"'),
    bad_panel("escape", 'negative = "\\u001b[2J"\n', 5, "negative", "control character", "x1b"),
    bad_panel("embedding", 'negative = "embedding:bad.pt"\n', 5, "negative", "bad.safetensors"),
    bad_panel("lora as text", 'lora = "spyke_v1"\n', 5, "lora", "[[lora]]", "double brackets"),
    bad_panel("one bracket", '[lora]\nname = "spyke_v1"\n', 5, "lora", "[[lora]]"),
    bad_panel("two [lora]", "[lora]\n[lora]\n", 6, "lora", "[[lora]]"),
    bad_panel("lora.name", "[[lora]]\nstrength = 0.5\n", 5, "lora[1].name", "missing", "spyke_v1"),
    bad_panel(
        "second lora",
        '[[lora]]\nname = "a_v1"\n[[lora]]\nname = "b.ckpt"\n',
        8,
        "lora[2].name",
        "run code",
        "b.safetensors",
    ),
    bad_panel(
        "bare lora",
        '[[lora]]\nname = "spyke"\n',
        6,
        "lora[1].name",
        "spyke_v1",
        "spyke.safetensors",
    ),
    bad_panel(
        "lora twice",
        '[[lora]]\nname = "a_v1"\n[[lora]]\nname = "a_v1"\n',
        8,
        "lora[2].name",
        "twice",
    ),
    bad_panel(
        "five loras",
        "".join(f'[[lora]]\nname = "l{n}_v1"\n' for n in range(5)),
        13,
        "lora[5]",
        "at most 4",
    ),
    bad_panel(
        "strength", '[[lora]]\nname = "a_v1"\nstrength = 7\n', 7, "lora[1].strength", "-2 to 2"
    ),
    bad_panel(
        "below a table", '[[lora]]\nname = "a_v1"\nseed = 4\n', 7, "lora[1].seed", "above the first"
    ),
    bad_panel("two nets", NET + NET, 8, "controlnet", "at most one", "16 GB"),
    bad_panel("net array", f"[{NET.partition(chr(10))[0]}]\n", 5, "controlnet", "at most one"),
    bad_panel("net .pth", NET.replace(".safetensors", ".pth"), 6, "controlnet.model", "run code"),
    bad_panel(
        "net .safetensors.pt", NET.replace('rs"', 'rs.pt"'), 6, "controlnet.model", "run code"
    ),
    bad_panel(
        "net .safetensors2", NET.replace('rs"', 'rs2"'), 6, "controlnet.model", "ending", 'rs"'
    ),
    bad_panel("net jpg", NET.replace(".png", ".jpg"), 7, "controlnet.image", "PNG"),
    bad_panel(
        "net order", NET + "start = 0.5\nend = 0.2\n", 9, "controlnet.end", "before it starts"
    ),
    bad_panel("net strength", NET + "strength = 3.0\n", 8, "controlnet.strength", "0 to 2"),
    bad_panel("net far", NET.replace("poses/", "../"), 7, "controlnet.image", "leaves the studio"),
    bad_panel("net home", NET.replace("poses/", "~/"), 7, "controlnet.image", "absolute path"),
    bad_panel("net root", NET.replace("poses/", "/"), 7, "controlnet.image", "absolute path"),
    Bad(
        "windows path",
        PANEL.replace('"anything', "'models\\anything").replace('s"\nvae', "s'\nvae").encode(),
        3,
        "checkpoint",
        ("backslash", '"models/anything-v5.safetensors"'),
    ),
    *(
        Bad(
            f"{key} as {ending}",
            PANEL.replace(name, name.replace("safetensors", ending)).encode(),
            line,
            key,
            ("can run code", name),
        )
        for key, name, line in (
            ("checkpoint", "anything-v5.safetensors", 3),
            ("vae", "vae-ft-mse-840000-ema-pruned.safetensors", 4),
        )
        for ending in ("ckpt", "pt", "pth", "bin")
    ),
)

TRAININGS = (
    bad_train("batch", "train_batch_size = 2\n", 6, "train_batch_size", "always 1", "16 GB"),
    bad_train("batch 1", "batch_size = 1\n", 6, "batch_size", "always 1", "Remove the line"),
    bad_train("768", "resolution = 768\n", 6, "resolution", "512", "768", "16 GB"),
    bad_train("768 wide", "width = 768\n", 6, "width", "512", "768"),
    bad_train("768 text", 'resolution = "768,768"\n', 6, "resolution", "512"),
    bad_train("8 bit", 'optimizer = "AdamW8bit"\n', 6, "optimizer", "bitsandbytes", '"AdamW"'),
    bad_train("paged", 'optimizer = "PagedAdamW"\n', 6, "optimizer", "bitsandbytes"),
    bad_train("code", 'optimizer = "os.system"\n', 6, "optimizer", "takes", '"AdamW"'),
    bad_train("8 bit key", "use_8bit_adam = true\n", 6, "use_8bit_adam", "CUDA", "AdamW"),
    bad_train("xformers", "xformers = true\n", 6, "xformers", "CUDA", "Remove the line"),
    bad_train("fp16", 'mixed_precision = "fp16"\n', 6, "mixed_precision", "CUDA", '"no"', '"bf16"'),
    bad_train("2000 steps", "steps = 2000\n", 6, "steps", "allow_overfit = true", "steps = 1000"),
    bad_train("accumulation", "gradient_accumulation = 9\n", 6, "gradient_accumulation", "1 to 8"),
    bad_train("as a panel", 'panel = "spyke"\n', 6, "panel", "`lora`"),
    bad_train("when", 'when = "tonight"\n', 6, "when", '"night" or "now"'),
    bad_train(
        "reg",
        '[regularization]\ncount = 3\nprompt = "man"\nclass = "man"\n',
        7,
        "regularization.count",
        "100 to 200",
    ),
    bad_train("grid", '[grid]\nprompts = "one"\n', 7, "grid.prompts", "list"),
    bad_train("features", 'features = ["white cloak", 2]\n', 6, "features[2]", "text", "2"),
    Bad("dataset", TRAIN.replace("datasets/", "/").encode(), 3, "dataset", ("absolute path",)),
    Bad("trigger", TRAIN.replace("spyke_p", "a, p").encode(), 2, "trigger", ("one word",)),
    Bad("no trigger", b'kind = "train"\n', 0, "trigger", ("missing", "spyke_plasma_v1")),
    Bad("name", TRAIN.encode(), 0, "lora", ('lora = "spyke"', "spyke.toml"), "Spyke"),
)

CONTROLS = (
    Bad("cancel what", b'kind = "cancel"\n', 0, "job", ("cancel which", "ch01_p003_v1")),
    Bad("no number", b'kind = "retry"\njob = "ch01_p003"\n', 2, "job", ("number", "ch01_p003_v1")),
    Bad("pause one", b'kind = "pause"\njob = "a_v1"\n', 2, "job", ("whole queue", "cancel")),
    Bad("prune", b'kind = "prune"\njob = "spyke_v1"\n', 2, "job", ("about the whole queue",)),
    bad_approval(
        "which", "", 0, "checkpoint", "Approve which result", "image = 1", "checkpoint = 792"
    ),
    bad_approval("both", "image = 1\ncheckpoint = 198\n", 4, "checkpoint", "both", "remove one"),
    bad_approval("image 0", "image = 0\n", 3, "image", "1 to 100", "image = 1"),
    bad_approval("image 101", "image = 101\n", 3, "image", "1 to 100"),
    bad_approval("step 0", "checkpoint = 0\n", 3, "checkpoint", "1 to 999999", "file name"),
    bad_approval("step as text", 'checkpoint = "198"\n', 3, "checkpoint", "without quotes"),
    Bad("approve what", b'kind = "approve"\nimage = 1\n', 0, "job", ("approve which",)),
    *(
        Bad(
            f"{key} of cancel",
            f'kind = "cancel"\njob = "a_v1"\n{key} = 1\n'.encode(),
            3,
            key,
            ("not about one result", 'kind = "approve"'),
        )
        for key in ("image", "checkpoint")
    ),
    Bad("unknown key", b'kind = "pause"\nforever = true\n', 2, "forever", ("The keys are", "job")),
)

ALL = (*NO_TOML, *PANELS, *TRAININGS, *CONTROLS)
