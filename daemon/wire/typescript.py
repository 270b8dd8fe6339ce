"""Spells JSON Schema as TypeScript: strict types with their comments, in one module.

Law: only what our own schemas use; anything else is a mistake of ours and says so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]

_HEAD = "// Written by `nightpress schema --format ts`: the types of nightpress {version}.\n"
_PLAIN = {"string": "string", "number": "number", "integer": "number", "boolean": "boolean"}
_KEY = re.compile(r"[A-Za-z_$][\w$]*")
_LIMITS = (("minimum", "at least"), ("maximum", "at most"), ("default", "default"))


def typescript(definitions: Schema, *, version: str) -> str:
    """A module that exports a type for each definition."""
    parts = [_declared(name, schema) for name, schema in definitions.items()]
    return "\n".join([_HEAD.format(version=version), *parts])


def _declared(name: str, schema: Schema) -> str:
    about = _comment(schema, "")
    if schema.get("type") == "object" and "properties" in schema:
        return f"{about}export interface {name} {_object(schema, '')}\n"
    return f"{about}export type {name} = {_type(schema, '')};\n"


def _object(schema: Schema, indent: str) -> str:
    required = schema.get("required", ())
    lines = [
        f"{_comment(body, indent + '  ')}{indent}  {_key(key)}{'' if key in required else '?'}: "
        f"{_type(body, indent + '  ')};\n"
        for key, body in schema["properties"].items()
    ]
    return f"{{\n{''.join(lines)}{indent}}}"


def _type(schema: Schema, indent: str) -> str:
    """The type of a schema, its inner lines indented."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return " | ".join(map(json.dumps, schema["enum"]))
    for either in ("anyOf", "oneOf"):
        if either in schema:
            return " | ".join(_type(each, indent) for each in schema[either])
    kind = schema.get("type")
    if kind == "null":
        return "null"
    if kind == "array":
        return _array(schema, indent)
    if kind == "object":
        return _table(schema, indent)
    if kind in _PLAIN:
        return _PLAIN[kind]
    if not set(schema) - {"description", "default", "examples"}:
        return "unknown"
    raise AssertionError(f"no TypeScript for {schema}")


def _array(schema: Schema, indent: str) -> str:
    if "prefixItems" in schema:
        return f"[{', '.join(_type(each, indent) for each in schema['prefixItems'])}]"
    inner = _type(schema.get("items", {}), indent)
    return f"({inner})[]" if " | " in inner else f"{inner}[]"


def _table(schema: Schema, indent: str) -> str:
    if "properties" in schema:
        return _object(schema, indent)
    values = schema.get("additionalProperties", {})
    return f"Record<string, {_type(values if isinstance(values, Mapping) else {}, indent)}>"


def _key(key: str) -> str:
    return key if _KEY.fullmatch(key) else json.dumps(key)


def _comment(schema: Schema, indent: str) -> str:
    told = " ".join(_told(schema)).replace("*/", "*\\/")
    return f"{indent}/** {told} */\n" if told else ""


def _told(schema: Schema) -> Iterator[str]:
    if about := schema.get("description"):
        yield f"{about}"
    limits = [
        f"{word} {json.dumps(schema[key])}"
        for key, word in _LIMITS
        if schema.get(key) not in (None, "", [])
    ]
    if limits:
        yield f"({', '.join(limits)})"
