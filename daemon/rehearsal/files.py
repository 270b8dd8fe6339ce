"""Rehearsal room: the HTTP side of models, nodes, uploads, pictures and the machine itself."""

import io
import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
from aiohttp import web
from PIL import Image

from daemon.rehearsal.folders import MODEL_FOLDERS, Layout, inside, normal_subfolder
from daemon.rehearsal.nodes import CLASSES, told

VERSION = "0.3.64"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class FileRoutes:
    """The routes that do not touch the queue."""

    def __init__(self, layout: Layout, features: Mapping[str, Any], argv: Sequence[str]) -> None:
        self._layout = layout
        self._features = features
        self._argv = argv

    def routes(self) -> list[tuple[str, str, Handler]]:
        """Method, path and handler of each."""
        return [
            ("GET", "/system_stats", self._system_stats),
            ("GET", "/features", self._get_features),
            ("GET", "/object_info/{node}", self._object_info),
            ("GET", "/models", self._folders),
            ("GET", "/models/{folder}", self._models),
            ("GET", "/embeddings", self._embeddings),
            ("POST", "/upload/image", self._upload),
            ("GET", "/view", self._view),
        ]

    async def _system_stats(self, _: web.Request) -> web.StreamResponse:
        memory = psutil.virtual_memory()
        system = {
            "os": os.name,
            "ram_total": memory.total,
            "ram_free": memory.available,
            "comfyui_version": VERSION,
            "required_frontend_version": "1.27.10",
            "installed_templates_version": "0.1.95",
            "required_templates_version": "0.1.95",
            "python_version": sys.version,
            "pytorch_version": "none",
            "embedded_python": False,
            "argv": list(self._argv),
            "nightpress_rehearsal": "1",
        }
        device = {
            "name": "rehearsal",
            "type": "cpu",
            "index": None,
            "vram_total": memory.total,
            "vram_free": memory.available,
            "torch_vram_total": memory.total,
            "torch_vram_free": memory.available,
        }
        return web.json_response({"system": system, "devices": [device]})

    async def _get_features(self, _: web.Request) -> web.StreamResponse:
        return web.json_response(dict(self._features))

    async def _object_info(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["node"]
        known = {name: told(name, self._layout)} if name in CLASSES else {}
        return web.json_response(known)

    async def _folders(self, _: web.Request) -> web.StreamResponse:
        return web.json_response(list(MODEL_FOLDERS))

    async def _models(self, request: web.Request) -> web.StreamResponse:
        folder = request.match_info["folder"]
        if folder not in MODEL_FOLDERS:
            return web.Response(status=404)
        return web.json_response(self._layout.model_names(folder))

    async def _embeddings(self, _: web.Request) -> web.StreamResponse:
        names = self._layout.model_names("embeddings")
        return web.json_response([str(Path(name).with_suffix("")) for name in names])

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()
        image, kind = form.get("image"), str(form.get("type", "input"))
        if not isinstance(image, web.FileField) or not image.filename:
            return web.Response(status=400)
        folder = self._layout.of_type(kind)
        if folder is None:
            raise ValueError(f"no folder of type {kind!r}")
        subfolder = normal_subfolder(str(form.get("subfolder", "")))
        path = folder / subfolder / image.filename
        if not inside(path, folder) or not inside(path.parent, folder):
            return web.Response(status=400)
        path.parent.mkdir(parents=True, exist_ok=True)
        overwrite = form.get("overwrite") in ("true", "1")
        path = _store(path, image.file.read(), overwrite=overwrite)
        return web.json_response({"name": path.name, "subfolder": subfolder, "type": kind})

    async def _view(self, request: web.Request) -> web.StreamResponse:
        query = request.query
        name = query.get("filename", "")
        folder = self._layout.of_type(query.get("type", "output"))
        if not name:
            return web.Response(status=404)
        if name.startswith("/") or ".." in name or folder is None:
            return web.Response(status=400)
        place = folder / query.get("subfolder", "")
        if not inside(place, folder):
            return web.Response(status=403)
        path = place / Path(name).name
        if not path.is_file():
            return web.Response(status=404)
        headers = {"Content-Disposition": f'filename="{path.name}"'}
        if "preview" in query:
            kind = query["preview"].partition(";")[0]
            return _recoded(path, kind if kind == "jpeg" else "webp", headers)
        if query.get("channel") == "rgb":
            return _recoded(path, "png", headers)
        return web.FileResponse(path, headers=headers)


def _store(path: Path, content: bytes, *, overwrite: bool) -> Path:
    """Writes an upload; other bytes under a taken name go to ``name (1).png`` and so on."""
    first, number = path, 1
    while path.exists() and not overwrite and path.read_bytes() != content:
        path = first.with_name(f"{first.stem} ({number}){first.suffix}")
        number += 1
    path.write_bytes(content)
    return path


def _recoded(path: Path, kind: str, headers: Mapping[str, str]) -> web.Response:
    buffer = io.BytesIO()
    with Image.open(path) as image:
        picture = image.convert("RGB")
        # Saving a copy leaves the text chunks behind, as the real server does.
        picture.info = {}
        picture.save(buffer, kind)
    return web.Response(body=buffer.getvalue(), content_type=f"image/{kind}", headers=headers)
