"""Spells what pydantic found wrong for people: the key, what it is, what it takes, what to write.

Law: a sentence never repeats more than an excerpt of a value, and always says what to write.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import get_args, get_origin

from pydantic import BaseModel, ValidationError

from daemon.core.jobs import Complaint
from daemon.wire.text import excerpt
from daemon.wire.toml_lines import Outline, Path, dotted

_TAKES: Mapping[str, str] = {
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "a text in double quotes",
    "bool_type": "true or false",
    "list_type": "a list in [ ]",
}


def complaints_of(
    mistake: ValidationError,
    *,
    model: type[BaseModel],
    outline: Outline,
    unknown: Mapping[str, str],
) -> Sequence[Complaint]:
    """One complaint for each thing that the model did not take.

    ``unknown``: what to say of unknown keys (dotted; a batch size wherever it stands) and of
    missing ones (``missing vae``), where there is more to say than that.
    """
    found: list[Complaint] = []
    for error in mistake.errors(include_url=False):
        path: Path = error["loc"]
        text = _sentence(error["type"], path, error["input"], model=model, unknown=unknown)
        found.append(Complaint(outline.line_of(path), dotted(path), text))
    return found


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that was probably meant; '' when none is near."""
    spelled = word[:64].lower().replace("-", "_").replace(" ", "_")
    by_spelling = {name.lower(): name for name in known}
    close = difflib.get_close_matches(spelled, by_spelling, n=1, cutoff=0.6)
    return by_spelling[close[0]] if close else ""


def as_toml(value: object) -> str:
    """A value as it is written in a job file (texts, numbers, true and false, lists of them)."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return f'"{value}"'
        case list():
            return f"[{', '.join(map(as_toml, value))}]"
        case _:
            return f"{value}"


def described(value: object) -> str:
    """What a value is, in words, with an excerpt of it."""
    match value:
        case bool():
            return as_toml(value)
        case str():
            return f'the text "{excerpt(value, limit=40)}"'
        case int() | float():
            return excerpt(f"{value}", limit=40)
        case dict():
            return "a table"
        case list():
            return f"a list of {len(value)}"
        case _:
            return "a date or time"


def _sentence(
    kind: str, path: Path, value: object, *, model: type[BaseModel], unknown: Mapping[str, str]
) -> str:
    owner, key = _owner(model, path)
    line = _line(owner, key)
    if kind == "missing":
        return unknown.get(f"missing {key}", f"`{key}` is missing. Write for example: {line}")
    if kind == "extra_forbidden":
        return _unknown(key, path, owner=owner, model=model, unknown=unknown)
    if kind == "model_type":
        return _no_table(owner, key, value)
    if kind == "list_type" and key == "lora":
        return (
            f"LoRAs are written as blocks, not as {described(value)}: [[lora]] in double brackets, "
            'below it name = "spyke_v1" and strength = 0.7, one block for each.'
        )
    if kind == "literal_error":
        choices = " or ".join(
            map(as_toml, get_args(owner.model_fields[_field(owner, key)].annotation))
        )
        return f"`{key}` takes {choices}, not {described(value)}. Write: {line}"
    takes = _TAKES.get(kind, "something else")
    if isinstance(path[-1], int):
        return (
            f"Entry {path[-1] + 1} of `{key}` is {described(value)}, and it takes {takes}. "
            f"Write for example: {line}"
        )
    return f"`{key}` takes {takes}, not {described(value)}. Write for example: {line}{_hint(value)}"


def _no_table(owner: type[BaseModel], key: str, value: object) -> str:
    inner = _table(owner, key) or owner
    if key == "controlnet" and isinstance(value, list):
        return (
            "A job has at most one ControlNet: a second one does not fit beside the model in 16 "
            "GB. Write [controlnet] in single brackets, once."
        )
    return (
        f"`{key}` is a table of its own, not {described(value)}. Write [{key}] in a line, and "
        f"its keys ({', '.join(_keys(inner))}) below it."
    )


def _hint(value: object) -> str:
    if not isinstance(value, str):
        return ""
    bare = value.strip().lower()
    plain = bare in {"true", "false"} or bare.lstrip("+-").replace(".", "", 1).isdecimal()
    return " (without quotes)" if plain else ""


def _unknown(
    key: str,
    path: Path,
    *,
    owner: type[BaseModel],
    model: type[BaseModel],
    unknown: Mapping[str, str],
) -> str:
    if dotted(path) in unknown:
        return unknown[dotted(path)]
    if key in unknown and "batch" in key:
        return unknown[key]
    shown = excerpt(key, limit=64)
    if owner is not model and key in _keys(model):
        return (
            f"`{shown}` belongs to the job itself, and stands here below [{path[0]}]. Move the "
            "line up, above the first line with [ ]."
        )
    meant = nearest(key, _keys(owner))
    if meant:
        return f"There is no key `{shown}`. Did you mean `{meant}`? Write: {_line(owner, meant)}"
    return f"There is no key `{shown}` here. The keys are: {', '.join(_keys(owner))}."


def _owner(model: type[BaseModel], path: Path) -> tuple[type[BaseModel], str]:
    """The table's model in which a path ends, and the key there (that of the list for an item)."""
    owner, key = model, ""
    for part in path:
        if isinstance(part, int):
            continue
        inner = _table(owner, key)
        owner, key = (inner or owner), part
    last = _table(owner, key)
    return (last, key) if last is not None and isinstance(path[-1], int) else (owner, key)


def _table(owner: type[BaseModel], key: str) -> type[BaseModel] | None:
    """The model of the table or of the array of tables at this key."""
    name = _field(owner, key)
    if name not in owner.model_fields:
        return None
    waiting: list[object] = [owner.model_fields[name].annotation]
    while waiting:
        kind = waiting.pop()
        if isinstance(kind, type) and get_origin(kind) is None and issubclass(kind, BaseModel):
            return kind
        waiting.extend(get_args(kind))
    return None


def _field(owner: type[BaseModel], key: str) -> str:
    return next((n for n, field in owner.model_fields.items() if field.alias == key), key)


def _keys(owner: type[BaseModel]) -> Sequence[str]:
    """The keys that a person writes; ``end = true`` is a program's mark."""
    names = [field.alias or name for name, field in owner.model_fields.items()]
    return [name for name in names if name != "end" or owner.model_fields[name].default is not True]


def _line(owner: type[BaseModel], key: str) -> str:
    field = owner.model_fields.get(_field(owner, key))
    if field is None or not field.examples:
        return key
    example = field.examples[0]
    return (
        str(example)
        if isinstance(example, str) and example[:1] == "["
        else (f"{key} = {as_toml(example)}")
    )
