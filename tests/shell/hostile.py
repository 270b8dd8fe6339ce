"""Templates and jobs that mean no good, or were made by a program that went wrong.

Each case is a whole drop: the graph and the slots file of a template ``evil``, and the job that
picks it. ``names`` is what the answer has to name: a node, an input, a key or a field.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from daemon.core.commands import Reject, Submit
from daemon.core.jobs import FileFacts
from daemon.core.policy import Policy
from daemon.craft.picture import PictureStats
from daemon.errors import WorldError
from daemon.ports import Weights
from daemon.shell.intake import Intake
from tests.fakes import MemoryDisk
from tests.sim.engine import SimPixels, SimWeights

WORKFLOWS = Path(__file__).parents[2] / "workflows"
PANEL = (WORKFLOWS / "panel.json").read_text(encoding="utf-8")
SLOTS = (WORKFLOWS / "panel.slots.toml").read_text(encoding="utf-8")
JOB = """\
kind = "panel"
prompt = "white cloak, rain"
seed = 421
checkpoint = "anything-v5.safetensors"
vae = "vae-ft-mse-840000-ema-pruned.safetensors"
workflow = "evil"
"""
NET = '[controlnet]\nmodel = "control_v11p_sd15_openpose.safetensors"\nimage = "poses/a.png"\n'
UP, LONG = "../../x", "x" * 300
SUBGRAPH = "0f0f0f0f-1111-2222-3333-444444444444"


@dataclass(frozen=True)
class Hostile:
    """One drop. Only what is wrong with it differs from a good one."""

    name: str
    names: str
    graph: bytes = PANEL.encode()
    slots: str = SLOTS
    job: str = JOB


GOOD = Hostile("good", "")


def graph_of(changes: Mapping[str, Any]) -> bytes:
    """The panel's graph with other nodes, or other inputs (``"9.filename_prefix"``)."""
    nodes = json.loads(PANEL)
    for where, value in changes.items():
        node, _, key = where.partition(".")
        if key:
            nodes[node]["inputs"][key] = value
        else:
            nodes[node] = value
    return json.dumps(nodes).encode()


def node(kind: str, **inputs: Any) -> Mapping[str, Any]:
    return {"class_type": kind, "inputs": inputs}


def graph(name: str, names: str, **changes: Any) -> Hostile:
    """A case in which only the graph is wrong."""
    return Hostile(name, names, graph_of(changes))


def extra(kind: str, values: list[Any], key: str, **inputs: Any) -> Iterator[Hostile]:
    """Cases with one more node, 20, one input of which is each of the values."""
    for value in values:
        body = node(kind, **{**inputs, key: value})
        yield Hostile(f"{kind}.{key} = {value!r:.40}", "20", graph_of({"20": body}))


def text(name: str, old: str, new: str, names: str) -> Hostile:
    """A case in which the graph's text is wrong."""
    assert old in PANEL, old
    return Hostile(name, names, PANEL.replace(old, new, 1).encode(errors="surrogatepass"))


def slots(name: str, names: str, more: str, *, less: str = "", first: str = "") -> Hostile:
    """A case in which the slots file has more, or lacks a field's slot."""
    head, *tables = SLOTS.split("[[slot]]")
    kept = [table for table in tables if not less or f'field = "{less}"\n' not in table]
    assert not less or len(kept) < len(tables), less
    return replace(
        GOOD, name=name, names=names, slots=f"{first}{head}[[slot]]{'[[slot]]'.join(kept)}\n{more}"
    )


def job(name: str, names: str, more: str) -> Hostile:
    """A case in which only the job is wrong; a key in it takes the place of the good one."""
    keys = {line.partition(" =")[0] for line in more.splitlines() if " = " in line}
    kept = [line for line in JOB.splitlines() if line.partition(" =")[0] not in keys]
    return replace(GOOD, name=f"job: {name}", names=names, job="\n".join([*kept, more, ""]))


PATHS = [
    "../../etc/passwd.png", "/etc/passwd", "C:\\windows\\x.png", "C:x.png", "..\\x.png",
    "a/../../b.png", "~/x.png", "a//b.png", "./a.png", "", "a\n.png", "a\x00.png",
    "a\u202e.png", "\\\\server\\share\\x.png", f"{LONG}.png",
]  # fmt: skip
IMAGES: list[Any] = [
    *PATHS,
    "a.png [output]",
    "a.png [temp]",
    "a.png [input]",
    7,
    None,
    True,
    ["8"],
    {},
]
MODELS = [
    *(path.replace(".png", ".safetensors") for path in PATHS),
    "x.ckpt", "x.pt", "x.bin", "x.safetensors.pt", "X.SAFETENSORS", "file:///x.safetensors",
    "https://example.org/x.safetensors", 7, ["4", 0],
]  # fmt: skip
PREFIXES = [
    *(path.removesuffix(".png") for path in PATHS),
    "..", "%year%", "%date:yyyy-MM-dd%/x", "%width%", "%batch_num%", 7, True, ["8", 0],
]  # fmt: skip
STRANGE = [
    "CheckpointLoader", "UNETLoader", "unCLIPCheckpointLoader", "LoadImageMask", "LoadImageOutput",
    "LoadLatent", "SaveLatent", "SaveImageWebsocket", "PreviewImage", "VAEEncode", "ImageScaleBy",
    "LatentUpscaleBy", "ImageUpscaleWithModel", "UpscaleModelLoader", "RepeatLatentBatch",
    "RepeatImageBatch", "ImageBatch", "LatentBatch", "StyleModelLoader", "CLIPVisionLoader",
    "DiffusersLoader", "HypernetworkLoader", "CLIPLoader", "ControlNetApply", "SaveAnimatedWEBP",
    "CheckpointSave", "LoraSave", "LoadAudio", "SaveVideo", "ExecutePython", "__import__",
    "workflow/mine", "workflow>mine", SUBGRAPH, "", " KSampler", "ksampler", "KSampler\x00",
    "KSаmpler", "a" * 5000,
]  # fmt: skip
EMBEDDINGS = [
    "embedding:../../x", "embedding:/etc/x", "embedding:C:/x", "embedding:a\\b", "embedding:x.pt",
    "embedding:x.PT", "embedding:x.bin", "embedding:a,/../b", "embedding:a:/../b",
    "embedding:a)/../b", "embedding:a\\(/../b", "embedding: x", "embedding:\nx",
    "embedding:\u00a0x",
    "a,embedding:x", "a\tembedding:x", "Embedding:x", "embedding:", "embedding:a/../b",
    "embedding:./a", "embedding:a//b", "embedding:a<b", "embedding:a[b", "embedding:x\u202e",
    "(embedding:x.ckpt:1.2)", "fine, embedding:ok, embedding:../x",
]  # fmt: skip
SAMPLER = {**json.loads(PANEL)["7"]["inputs"]}
LATENT = {"width": 512, "height": 512, "batch_size": 1}
APPLY = {
    "positive": ["4", 0], "negative": ["5", 0], "control_net": ["20", 0], "image": ["21", 0],
    "strength": 1.0, "start_percent": 0.0, "end_percent": 1.0,
}  # fmt: skip
LORA = {"model": ["1", 0], "clip": ["1", 1], "strength_model": 1.0, "strength_clip": 1.0}


def _graphs() -> Iterator[Hostile]:
    yield from extra("LoadImage", IMAGES, "image")
    yield from extra("LoraLoader", MODELS, "lora_name", **LORA)
    yield from extra("ControlNetLoader", MODELS[:6], "control_net_name")
    for prefix in PREFIXES:
        yield graph(f"prefix {prefix!r:.40}", "Node 9", **{"9.filename_prefix": prefix})
    for kind in STRANGE:
        yield graph(f"class {kind!r:.40}", "Node 20", **{"20": node(kind)})
    yield from extra("CLIPTextEncode", EMBEDDINGS, "text", clip=["3", 0])
    yield from extra("CLIPTextEncode", ["x" * 17_000, 7, None, ["4", 0]], "text", clip=["3", 0])
    batches = [2, 4, 0, -1, 10**9, "1", "4", True, 1.0, None, ["6", 0]]
    yield from extra("EmptyLatentImage", batches, "batch_size", **LATENT)
    sizes = [4096, -512, 0, 500, 768.0, "512", True, None, ["6", 0], 10**12]
    yield from extra("EmptyLatentImage", sizes, "width", **LATENT)
    yield from extra("EmptyImage", [1 << 24, -1, 1.5], "color", **LATENT)
    wrong: Mapping[str, list[Any]] = {
        "steps": [0, -5, 1000, "20", 20.0, True, ["4", 0]],
        "cfg": ["7", True, 1e5, -1],
        "denoise": [2, "1", None],
        "seed": [-1, 1.5, "1", True],
        "sampler_name": [7, None],
        "model": [7, "1", ["4", 0]],
    }
    for key, values in wrong.items():
        yield from extra("KSampler", values, key, **SAMPLER)


def _shapes() -> Iterator[Hostile]:
    net = node("ControlNetLoader", control_net_name="a.safetensors")
    hint, apply = node("LoadImage", image="a.png"), node("ControlNetApplyAdvanced", **APPLY)
    first = {"20": net, "21": hint, "22": apply}
    chained = node(
        "ControlNetApplyAdvanced", **{**APPLY, "positive": ["22", 0], "negative": ["22", 1]}
    )
    yield graph("two loaders", "ControlNetLoader", **first, **{"23": net})
    yield graph("two in a chain", "ControlNetApply", **first, **{"23": chained})
    mixed = node("ConditioningCombine", conditioning_1=["22", 0], conditioning_2=["22", 1])
    hidden = node(
        "ControlNetApplyAdvanced", **{**APPLY, "positive": ["24", 0], "negative": ["24", 0]}
    )
    yield graph("hidden in a mix", "ControlNetApply", **first, **{"24": mixed, "23": hidden})
    asked = graph("one of the job's beside the template's", "ControlNetLoader", **first)
    yield replace(asked, job=JOB + NET)
    yield graph("a baked VAE", "Node 8", **{"8.vae": ["1", 2]})
    yield graph(
        "a baked VAE for a ControlNet",
        "Node 22",
        **{**first, "22": node("ControlNetApplyAdvanced", **APPLY, vae=["1", 2])},
    )
    yield graph("no VAE", "Node 8", **{"8.vae": "taesd"})
    yield graph("a node that takes itself", "4", **{"4.clip": ["4", 0]})
    pair = {"20": node("CLIPSetLastLayer", clip=["21", 0], stop_at_clip_layer=-1)}
    pair["21"] = node("CLIPSetLastLayer", clip=["20", 0], stop_at_clip_layer=-1)
    yield graph("two that take each other", "20", **pair)
    for link in (
        ["99", 0],
        ["1", 3],
        ["1", -1],
        ["9", 0],
        ["4", 0],
        [1, 0],
        ["1"],
        ["1", 0, 0],
        ["1", 0.0],
        ["1", True],
        [],
        [["1", 0]],
        {"__value__": ["1", 0]},
        {},
        None,
        "1",
    ):
        yield graph(f"link {link!r}", "node 8", **{"8.samples": link})
    yield graph("a link that no node has", "node 7", **{"7.extra": ["4", 0]})
    yield graph("two pictures", "SaveImage", **{"20": node("SaveImage", images=["8", 0])})
    yield graph("no picture", "SaveImage", **{"9": node("ImageInvert", image=["8", 0])})
    many = {f"n{number}": node("EmptyImage", **LATENT, color=0) for number in range(100)}
    yield graph("a hundred nodes more", "limit is 100", **many)
    yield graph("two samplers", "70 steps", **{"20": node("KSampler", **{**SAMPLER, "steps": 50})})
    yield graph(
        "a huge upscale",
        "Node 20",
        **{
            "20": node(
                "LatentUpscale",
                samples=["7", 0],
                upscale_method="area",
                width=768,
                height=768,
                crop="disabled",
            )
        },
    )
    yield graph("a lacking input", "'clip'", **{"20": node("CLIPTextEncode", text="a")})


def _texts() -> Iterator[Hostile]:
    yield text("a key twice", '"denoise": 1.0', '"denoise": 1.0, "denoise": 0.5', "'denoise'")
    yield text("a node twice", '"2": {', '"1": {}, "2": {', "'1'")
    yield text(
        "a class twice",
        '"class_type": "VAELoader"',
        '"class_type": "VAELoader", "class_type": "X"',
        "'class_type'",
    )
    for number in ("NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1" * 5000):
        yield text(f"number {number[:12]}", '"denoise": 1.0', f'"denoise": {number}', "JSON")
    yield text("65 bits", '"denoise": 1.0', f'"denoise": {2**64}', "'denoise'")
    for name in (UP, "a b", "", "x" * 65, "1\\n", "é", "1/2", "<b>", "$(id)", "%41", "\\u202e1"):
        yield text(
            f"node id {name[:20]!r}",
            '"2": {',
            f'"{name}": {{"class_type": "A", "inputs": {{}}}}, "2": {{',
            "node",
        )
    for meta in ("[]", '"x"', '{"title": 7}', '{"title": {"a": 1}}', "null"):
        yield text(f"_meta {meta}", '"_meta": {"title": "Size"}', f'"_meta": {meta}', "Node 6")
    deep = "[" * 400 + "]" * 400
    yield text("a deep value", '"denoise": 1.0', f'"denoise": {deep}', "'denoise'")
    yield text(
        "a deep object",
        '"denoise": 1.0',
        '"denoise": ' + '{"a":' * 400 + "1" + "}" * 400,
        "'denoise'",
    )
    yield text("an input without a name", '"denoise": 1.0', '"denoise": 1.0, "": 1', "node 7")
    yield text("an input with a strange name", '"denoise": 1.0', '"a\\u0007b": 1', "node 7")
    yield text("a class that is a number", '"class_type": "SaveImage"', '"class_type": 7', "'9'")
    yield text(
        "inputs that are a list", '"inputs": {"samples"', '"inputs": [], "x": {"samples"', "'8'"
    )
    for name, data in {
        "nothing": b"", "null": b"null", "a list": b"[]", "no node": b"{}", "a text": b'"x"',
        "cut short": PANEL.encode()[:-40], "more behind": PANEL.encode() + b"{}",
        "too deep": b"[" * 100_000, "too large": b" " * 2**21,
        "a comment": b"// x\n" + PANEL.encode(),
        "a BOM": b"\xef\xbb\xbf" + PANEL.encode(),
        "the editor's own": b'{"nodes": [], "links": [], "definitions": {"subgraphs": []}}',
        "a wrapped prompt": b'{"prompt": ' + PANEL.encode() + b"}",
    }.items():  # fmt: skip
        yield replace(GOOD, name=f"graph: {name}", names="graph", graph=data)
    yield replace(GOOD, name="graph: no UTF-8", names="UTF-8", graph=b"\xff\xfe" + PANEL.encode())
    yield Hostile(
        "20,000 nodes", "node 1", json.dumps({f"{n}": node("A") for n in range(20_000)}).encode()
    )


def _slot(**keys: Any) -> str:
    return "[[slot]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())


def _slot_files() -> Iterator[Hostile]:
    for at in (UP, "", "99", 7, True, ["7"], "7\n", "é", "x" * 300):
        yield slots(
            f"node {at!r:.20}",
            "cfg",
            _slot(field="cfg", kind="float", node=at, input="cfg"),
            less="cfg",
        )
    for name, field, kind, at, key in (
        ("the prefix", "prompt", "string", "9", "filename_prefix"),
        ("a model's name", "prompt", "string", "1", "ckpt_name"),
        ("a text from a number", "seed", "seed", "4", "text"),
        ("a width from a seed's float", "cfg", "float", "6", "width"),
        ("a link", "prompt", "string", "7", "model"),
        ("nothing", "prompt", "string", "7", "mood"),
        ("a batch from a choice", "sampler", "choice", "6", "batch_size"),
    ):
        yield slots(
            f"{field} fills {name}",
            f"({field})",
            _slot(field=field, kind=kind, node=at, input=key),
            less=field,
        )
    yield slots(
        "a VAE in a checkpoint's place",
        "(vae)",
        _slot(field="vae", kind="model", role="vae", node="1", input="ckpt_name"),
        less="vae",
    )
    yield slots(
        "another role",
        "(vae)",
        _slot(field="vae", kind="model", role="lora", node="2", input="vae_name"),
        less="vae",
    )
    yield slots(
        "an unknown field", "'mood'", _slot(field="mood", kind="string", node="4", input="text")
    )
    yield slots(
        "a field of another kind",
        "prompt",
        _slot(field="prompt", kind="seed", node="4", input="text"),
    )
    yield slots(
        "one input twice", "(prompt)", _slot(field="prompt", kind="string", node="5", input="text")
    )
    yield slots(
        "an unknown key",
        "'max'",
        _slot(field="cfg", kind="float", node="7", input="cfg", max=3),
        less="cfg",
    )
    for times in (2**40, True, "2", 1.5, [1]):
        yield slots(
            f"times {times!r}",
            "times",
            _slot(field="steps", kind="int", node="7", input="steps", times=times),
            less="steps",
        )
    for link in (["99", 0], ["1", 9], ["1"], "1", [["1", 0]], 7):
        yield slots(
            f"a chain at {link!r}",
            "(loras)",
            _slot(field="loras", kind="lora_chain", model=link, clip=["1", 1]),
            less="loras",
        )
    yield slots(
        "two chains",
        "(loras)",
        _slot(field="loras", kind="lora_chain", model=["1", 0], clip=["1", 1]),
    )
    for table in ('node = "99"', 'node = "8"', "node = 9", 'node = "9"\nmore = 1', ""):
        yield slots(f"[pose_map] {table!r}", "pose_map", f"[pose_map]\n{table}\n")
    yield slots("the result as its own map", "SaveImage", '[pose_map]\nnode = "9"\n')
    for pack in (UP, "", "a/b", "..", "a\\b", "x" * 200, 7, "$(id)", "--listen"):
        yield slots(f"pack {pack!r:.20}", "[packs]", f"[packs]\nEvil = {json.dumps(pack)}\n")
    yield slots("a pack of a class that is not there", "'Evil'", '[packs]\nEvil = "evil"\n')
    yield slots("a pack of ComfyUI's own", "'KSampler'", '[packs]\nKSampler = "evil"\n')
    evil = slots(
        "a pack that is not allowed",
        'custom_nodes = { "evil-pack"',
        '[packs]\nEvil = "evil-pack"\n',
    )
    yield replace(evil, graph=graph_of({"20": node("Evil")}))
    for need in (UP, "/etc/passwd", "C:\\x", "~/x", "", 7, "a\u0000b", LONG):
        yield slots(f"needs {need!r:.20}", "Needs", "", first=f"needs = [{json.dumps(need)}]\n")
    yield slots("too many needs", "Needs", "", first=f"needs = {json.dumps(['a'] * 50)}\n")
    for name, whole in {
        "no TOML": "[[slot", "a key twice": 'ignores = []\nignores = []\n',
        "deep": "a = " + "[" * 5000,
        "large": "#" * 70_000, "one bracket": "[slot]\nfield = 1\n",
        "another key": f"evil = 1\n{SLOTS}",
        "a BOM": f"\ufeff{SLOTS}", "nothing": "",
        "ignores nothing known": f'ignores = ["x"]\n{SLOTS}',
        "ignores what it fills": f'ignores = ["cfg"]\n{SLOTS}', "a list of nothing": "slot = [1]\n",
    }.items():  # fmt: skip
        yield replace(GOOD, name=f"slots: {name}", names="", slots=whole)


def _jobs() -> Iterator[Hostile]:
    for name in (
        "../evil",
        "/evil",
        "evil.json",
        "a/b",
        "",
        "C:evil",
        "Evil",
        "missing",
        "slots.schema",
        "evil.slots",
    ):
        yield job(f"workflow {name!r}", "workflow", f'workflow = "{name}"')
    for image in (
        "../a.png",
        "/a.png",
        "poses/../../a.png",
        "C:/a.png",
        "~/a.png",
        "poses//a.png",
        "poses/.a.png",
        "a.jpg",
        "poses/missing.png",
        "poses/black.png",
        "poses/broken.png",
    ):
        yield job(f"hint {image}", "controlnet.image", NET.replace("poses/a.png", image))
    for model in ("../x.safetensors", "/x.safetensors", "x.ckpt", "x.pth", "a//b.safetensors"):
        yield job(f"checkpoint {model}", "checkpoint", f'checkpoint = "{model}"')
        yield job(
            f"ControlNet {model}",
            "controlnet.model",
            NET.replace("control_v11p_sd15_openpose.safetensors", model),
        )
        yield job(f"LoRA {model}", "lora", f'[[lora]]\nname = "{model}"')
    for width in ("768.0", '"512"', "true", "4096", "-8", "500", "nan", "1e3"):
        yield job(f"width {width}", "width", f"width = {width}")
    for key, value in (
        ("cfg", "nan"),
        ("cfg", "inf"),
        ("cfg", "true"),
        ("denoise", "-inf"),
        ("steps", "20.5"),
        ("steps", "true"),
        ("seed", "-1"),
        ("seed", "1.0"),
        ("clip_skip", "0"),
        ("batch_size", "4"),
        ("sampler", '"rm -rf"'),
        ("quality", "true"),
    ):
        yield job(f"{key} {value}", key, f"{key} = {value}")
    for told in EMBEDDINGS:
        yield job(f"{told!r}", "embedding", f"prompt = {json.dumps(told)}")
    yield job("two ControlNets", "controlnet", NET.replace("[", "[[").replace("]", "]]") * 2)
    yield job(
        "five LoRAs", "lora", "".join(f'[[lora]]\nname = "{n}.safetensors"\n' for n in range(5))
    )
    yield job("a long prompt", "KiB", f'prompt = "{"x" * 17_000}"')
    yield job("a bell", "prompt", 'prompt = "a\\u0007"')
    yield job("a key of nobody's", "filename_prefix", f'filename_prefix = "{UP}"')


CASES = (*_graphs(), *_shapes(), *_texts(), *_slot_files(), *_jobs())


PNG = b"\x89PNG\r\n\x1a\nIEND"


class Looks(SimPixels):
    """One of the hints is black, one is broken."""

    async def measure(self, png: bytes) -> PictureStats:
        if png.endswith(b"broken"):
            raise WorldError("PICTURE_BROKEN", "The picture is cut short.")
        return await super().measure(png)


async def answer(
    case: Hostile, *, packs: Collection[str] = (), weights: Weights | None = None
) -> Reject | Submit:
    """What the intake says to a drop, in a studio with some hints."""
    disk = MemoryDisk()
    disk.put("workflows/evil.json", case.graph)
    disk.put("workflows/evil.slots.toml", case.slots.encode())
    disk.put("workflows/slots.schema.json", b"{}")
    disk.put("poses/a.png", PNG)
    disk.put("poses/black.png", PNG + b"IDATblack")
    disk.put("poses/broken.png", PNG + b"broken")
    data = case.job.encode()
    file = FileFacts("ch01.toml", "0" * 64, 1, 1, len(data))
    intake = Intake(disk, Policy(), weights=weights or SimWeights(), pixels=Looks(), packs=packs)
    command = await intake.examine(file, data if len(data) <= Policy().max_job_file_bytes else None)
    assert isinstance(command, Reject | Submit)
    return command
