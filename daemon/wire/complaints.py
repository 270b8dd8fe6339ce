"""Spells what is wrong with a document for people: the key, what it takes and why, what to write.

Law: one sentence for one wrong key, made from its field alone: ``description`` is the reason, the
first of ``examples`` (else the default) is what to write. No sentence repeats more than an excerpt
of a value.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
    ValidationInfo,
)
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, ErrorDetails, PydanticCustomError, core_schema

from daemon.core.jobs import Complaint
from daemon.core.policy import Policy
from daemon.wire.text import excerpt
from daemon.wire.toml_lines import Outline, Path, dotted

# Defaults are checked too: settings may have tightened a limit below them.
STRICT = ConfigDict(
    strict=True, extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True
)

_TAKES: Mapping[str, str] = {
    "int_type": "a whole number without quotes",
    "float_type": "a number without quotes",
    "finite_number": "a finite number",
    "string_type": "a text in double quotes",
    "bool_type": "true or false without quotes",
    "list_type": "a list in [ ]",
    "dict_type": "a table in { }",
}

# What other programs call a key of ours.
_ELSEWHERE: Mapping[str, str] = {
    **dict.fromkeys(("cfg_scale", "guidance_scale"), "cfg"),
    **dict.fromkeys(("max_train_steps", "max_train_epochs", "epochs"), "steps"),
    **dict.fromkeys(("rank", "dim"), "network_dim"),
    "ckpt_name": "checkpoint",
    "positive": "prompt",
    "lr": "learning_rate",
    "alpha": "network_alpha",
}

Model = TypeVar("Model", bound=BaseModel)
Value = TypeVar("Value")


def checked(
    model: type[Model],
    table: Mapping[str, object],
    *,
    outline: Outline,
    unknown: Mapping[str, str],
    policy: Policy | None = None,
) -> Model | list[Complaint]:
    """The table as a model, or what is wrong with it. ``policy``: whose limits ``between`` names.

    ``unknown``: what to say of keys (dotted) that people write and the model has not, where there
    is more to say than which key is near.
    """
    try:
        return model.model_validate(table, context=policy)
    except ValidationError as mistake:
        errors = mistake.errors(include_url=False)
    places: list[Path] = [(*e["loc"], *e.get("ctx", {}).get("at", ())) for e in errors]
    return [
        Complaint(outline.line_of(path), dotted(path), _sentence(error, path, model, unknown))
        for error, path in zip(errors, places, strict=True)
    ]


def fault(text: str, *at: str | int) -> PydanticCustomError:
    """What a validator raises: the sentence, and where below its own place the mistake stands."""
    return PydanticCustomError("rule", "{text}", {"text": text, "at": at})


def out_of_range(low: float, high: float, why: str) -> PydanticCustomError:
    """What a validator raises of a number outside ``low`` to ``high``."""
    return PydanticCustomError("range", "out of range", {"low": low, "high": high, "why": why})


def rule(fault_of: Callable[[Value], str]) -> AfterValidator:
    """A value's own rule: what is wrong with it as a sentence, '' when nothing is."""

    def check(value: Value) -> Value:
        if text := fault_of(value):
            raise fault(text)
        return value

    return AfterValidator(check)


@dataclass(frozen=True, slots=True)
class Between:
    """A validator of numbers; a schema of its field tells the mission's limits."""

    low: float | str
    high: float | str
    why: str

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.with_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        least, most = self._ends(Policy())
        return {"description": self.why, **handler(core), "minimum": least, "maximum": most}

    def _check(self, value: float, info: ValidationInfo) -> float:
        least, most = self._ends(policy_of(info))
        if not least <= value <= most:
            raise out_of_range(least, most, self.why)
        return value

    def _ends(self, policy: Policy) -> tuple[float, float]:
        least, most = (
            getattr(policy, end) if isinstance(end, str) else end for end in (self.low, self.high)
        )
        return least, most


def between(low: float | str, high: float | str, why: str) -> Between:
    """The range of a number, both ends included; an end as text is the policy's limit so named."""
    return Between(low, high, why)


def policy_of(info: ValidationInfo) -> Policy:
    """Whose limits a model is validated with; the mission's own, where none were given."""
    return info.context or Policy()


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that was probably meant; '' when none is near."""
    spelled = word[:64].lower().replace("-", "_").replace(" ", "_")
    by_spelling = {name.lower(): name for name in known}
    close = difflib.get_close_matches(spelled, by_spelling, n=1, cutoff=0.6)
    return by_spelling[close[0]] if close else ""


def described(value: object) -> str:
    """What a value is, in words, with an excerpt of it."""
    match value:
        case bool() | int() | float():
            return excerpt(_as_toml(value), limit=40)
        case str():
            return f'the text "{excerpt(value, limit=40)}"'
        case dict():
            return "a table"
        case list():
            return f"a list of {len(value)}"
        case _:
            return "a date or time"


def _sentence(
    error: ErrorDetails, path: Path, model: type[BaseModel], unknown: Mapping[str, str]
) -> str:
    kind, value, details = error["type"], error["input"], error.get("ctx", {})
    if kind == "rule":
        return str(details["text"])
    owner, key = _place(model, path)
    if kind == "extra_forbidden":
        return unknown.get(dotted(path)) or _unknown(key, path, owner, model)
    field = _keys(owner)[key]
    line, why = _line(key, field), f" ({field.description})" if field.description else ""
    if kind == "missing":
        return f"`{key}` is missing{why}. Write for example: {line}"
    if _table(field) is not None:
        takes = field.description or f"[{key}] on a line of its own, and its keys below it"
        return f"`{key}` is {described(value)} here. Write {takes}."
    subject = f"Entry {path[-1] + 1} of `{key}`" if isinstance(path[-1], int) else f"`{key}`"
    if kind == "range":
        return f"{subject} is {_range(value, key, field, **details)}"
    takes = _TAKES.get(kind, "something else")
    if kind == "literal_error":
        takes = " or ".join(map(_as_toml, get_args(field.annotation))) + why
    return f"{subject} takes {takes}, not {described(value)}. Write for example: {line}"


def _range(value: object, key: str, field: FieldInfo, *, low: float, high: float, why: str) -> str:
    ends = " to ".join(f"{end:g}" if abs(end) < 1e6 else f"{end}" for end in (low, high))
    right = _example(field)
    if isinstance(right, int | float):
        right = min(max(right, low), high)
    return f"{ends} ({why}), not {described(value)}. Write for example: {key} = {_as_toml(right)}"


def _unknown(key: str, path: Path, owner: type[BaseModel], model: type[BaseModel]) -> str:
    known, shown = _keys(owner), excerpt(key, limit=64)
    if owner is not model and key in _keys(model):
        return (
            f"`{shown}` belongs to the job itself, and stands here below [{path[0]}]. Move the "
            "line up, above the first line with [ ]."
        )
    if meant := nearest(_ELSEWHERE.get(key, key), known):
        line = _line(meant, known[meant])
        return f"There is no key `{shown}`. Did you mean `{meant}`? Write: {line}"
    return f"There is no key `{shown}` here. The keys are: {', '.join(known)}."


def _place(model: type[BaseModel], path: Path) -> tuple[type[BaseModel], str]:
    """The model of the table in which a path ends, and the last key of the path."""
    owner, key = model, ""
    for part in path:
        if isinstance(part, str):
            above = _keys(owner).get(key)
            owner, key = (above and _table(above)) or owner, part
    return owner, key


def _table(field: FieldInfo) -> type[BaseModel] | None:
    """The model of the table, or of each table of the array, that a field takes."""
    waiting: list[object] = [field.annotation]
    while waiting:
        kind = waiting.pop()
        if isinstance(kind, type) and get_origin(kind) is None and issubclass(kind, BaseModel):
            return kind
        waiting.extend(get_args(kind))
    return None


def _keys(owner: type[BaseModel]) -> Mapping[str, FieldInfo]:
    """The fields of a table by the keys that a person writes."""
    return {field.alias or name: field for name, field in owner.model_fields.items()}


def _example(field: FieldInfo) -> Any:
    return field.examples[0] if field.examples else field.default


def _line(key: str, field: FieldInfo) -> str:
    if _table(field) is not None:
        return f"[[{key}]]" if get_origin(field.annotation) is list else f"[{key}]"
    return f"{key} = {_as_toml(_example(field))}"


def _as_toml(value: object) -> str:
    match value:
        case bool():
            return f"{value}".lower()
        case str():
            return f'"{value}"'
        case dict():
            entries = ", ".join(f'"{key}" = {_as_toml(entry)}' for key, entry in value.items())
            return f"{{ {entries} }}"
        case _:
            return f"{value}".replace("'", '"')
