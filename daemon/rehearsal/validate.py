"""Rehearsal room: ComfyUI's validation of a prompt, with its error bodies word for word.

It stumbles where the original stumbles: a link to a node that does not exist is a KeyError that
somebody further up reports, not a tidy refusal. Values are coerced in place, as the original does,
and the coerced prompt is what runs and what the history shows.
"""

import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from daemon.rehearsal.folders import Layout, inside
from daemon.rehearsal.nodes import CLASSES, filled

_LONG_LIST = 20
_COERCE: Mapping[str, Callable[[Any], Any]] = {"INT": int, "FLOAT": float, "STRING": str}
Reasons = list[dict[str, Any]]


@dataclass(slots=True)
class Verdict:
    """What validation found: ``error`` is None when at least one output can run."""

    error: dict[str, Any] | None
    outputs: list[str] = field(default_factory=list)
    node_errors: dict[str, Any] = field(default_factory=dict)


def validate_prompt(prompt: Any, targets: Iterable[str] | None, layout: Layout) -> Verdict:
    """Checks a prompt; ``targets`` limits its outputs. Raises TypeError for ``null``, as seen."""
    outputs = []
    for node_id in prompt:
        node = prompt[node_id]
        if "class_type" not in node:
            text = "Cannot execute because a node is missing the class_type property."
            return Verdict(whole_prompt_error("invalid_prompt", text, f"Node ID '#{node_id}'"))
        name = node["class_type"]
        if name not in CLASSES:
            text = f"Cannot execute because node {name} does not exist."
            return Verdict(whole_prompt_error("invalid_prompt", text, f"Node ID '#{node_id}'"))
        if CLASSES[name]["output_node"] and (targets is None or node_id in targets):
            outputs.append(node_id)
    if not outputs:
        return Verdict(whole_prompt_error("prompt_no_outputs", "Prompt has no outputs", ""))
    return _Inspection(prompt, layout).judge(outputs)


def whole_prompt_error(kind: str, message: str, details: str) -> dict[str, Any]:
    """The error of a refusal, which speaks of no single node."""
    return {"type": kind, "message": message, "details": details, "extra_info": {}}


class _Inspection:
    """One walk over a prompt. ``checked`` remembers node id to reasons, in order of completion."""

    def __init__(self, prompt: dict[str, Any], layout: Layout) -> None:
        self.prompt = prompt
        self.layout = layout
        self.checked: dict[str, tuple[bool, Reasons]] = {}
        self.open: set[str] = set()

    def judge(self, outputs: list[str]) -> Verdict:
        verdict = Verdict(None)
        on_outputs: Reasons = []
        for output in outputs:
            try:
                valid, reasons = self.check(output)
            except Exception as error:  # noqa: BLE001 - the original reports any.
                valid, reasons = False, [_stumble("exception_during_validation", "node", error)]
                self.checked[output] = (valid, reasons)
            if valid:
                verdict.outputs.append(output)
                continue
            on_outputs += reasons
            self._report(output, verdict.node_errors)
        if not verdict.outputs:
            details = "\n".join(f"{r['message']}: {r['details']}" for r in on_outputs)
            kind = "prompt_outputs_failed_validation"
            verdict.error = whole_prompt_error(kind, "Prompt outputs failed validation", details)
        return verdict

    def _report(self, output: str, node_errors: dict[str, Any]) -> None:
        for node_id, (valid, reasons) in self.checked.items():
            if valid or not reasons:
                continue
            name = self.prompt[node_id]["class_type"]
            entry = {"errors": reasons, "dependent_outputs": [], "class_type": name}
            node_errors.setdefault(node_id, entry)["dependent_outputs"].append(output)

    def check(self, node_id: str) -> tuple[bool, Reasons]:
        """Validates a node and what it depends on; raises what the original raises."""
        if node_id in self.checked:
            return self.checked[node_id]
        if node_id in self.open:
            raise RecursionError("maximum recursion depth exceeded")
        self.open.add(node_id)
        node = self.prompt[node_id]
        given, groups = node["inputs"], CLASSES[node["class_type"]]["input"]
        reasons: Reasons = []
        valid = True
        for name, spec in {**groups["required"], **groups.get("optional", {})}.items():
            kind, *options = filled(spec, self.layout)
            config = (kind, options[0] if options else {})
            extra = {"input_name": name, "input_config": config}
            if name not in given:
                if name in groups["required"]:
                    reasons.append(missing(name))
            elif isinstance(given[name], list):
                valid &= self._check_link(given[name], extra, reasons)
            elif node["class_type"] == "LoadImage":
                reasons += _check_image(given[name], self.layout)
            else:
                reasons += _check_value(given, extra)
        self.open.discard(node_id)
        result = (valid and not reasons, reasons)
        self.checked[node_id] = result
        return result

    def _check_link(self, link: list[Any], extra: dict[str, Any], reasons: Reasons) -> bool:
        name, (kind, _) = extra["input_name"], extra["input_config"]
        if len(link) != 2:
            text = "Bad linked input, must be a length-2 list of [node_id, slot_index]"
            reasons.append(_reason("bad_linked_input", text, name, extra, received_value=link))
            return True
        source = link[0]
        # A tuple, as there: the IndexError of a slot that does not exist names its type.
        received = tuple(CLASSES[self.prompt[source]["class_type"]]["output"])[link[1]]
        if received != kind:
            text = "Return type mismatch between linked nodes"
            details = f"{name}, received_type({received}) mismatch input_type({kind})"
            more = {"received_type": received, "linked_node": link}
            reasons.append(_reason("return_type_mismatch", text, details, extra, **more))
            return True
        try:
            return self.check(source)[0]
        except Exception as error:  # noqa: BLE001 - the original reports any.
            stumble = _stumble("exception_during_inner_validation", "inner node", error)
            told = stumble["extra_info"]
            stumble["extra_info"] = {**extra, "exception_message": str(error), **told}
            stumble["extra_info"]["linked_node"] = link
            self.checked[source] = (False, [stumble])
            return False


def _check_image(value: Any, layout: Layout) -> Reasons:
    path = layout.input_path(str(value))
    if path.is_file() and any(inside(path, f) for f in (layout.input, layout.output, layout.temp)):
        return []
    text, details = "Custom validation failed for node", f"image - Invalid image file: {value}"
    return [_reason("custom_validation_failed", text, details, {"input_name": "image"})]


def _check_value(given: dict[str, Any], extra: dict[str, Any]) -> Reasons:
    """Weighs a constant and coerces it in place."""
    name, (kind, options) = extra["input_name"], extra["input_config"]
    value = given[name]
    if isinstance(value, dict) and "__value__" in value:
        value = given[name] = value["__value__"]
    try:
        if isinstance(kind, str) and kind in _COERCE:
            value = given[name] = _COERCE[kind](value)
    except (TypeError, ValueError) as error:
        text = f"Failed to convert an input value to a {kind} value"
        more = {"received_value": value, "exception_message": str(error)}
        return [_reason("invalid_input_type", text, f"{name}, {value}, {error}", extra, **more)]
    if isinstance(kind, list):
        return _check_choice(kind, value, extra)
    if "min" in options and value < options["min"]:
        text = f"Value {value} smaller than min of {options['min']}"
        return [_reason("value_smaller_than_min", text, name, extra, received_value=value)]
    if "max" in options and value > options["max"]:
        text = f"Value {value} bigger than max of {options['max']}"
        return [_reason("value_bigger_than_max", text, name, extra, received_value=value)]
    return []


def _check_choice(choices: list[str], value: Any, extra: dict[str, Any]) -> Reasons:
    if value in choices:
        return []
    listed = str(choices)
    if len(choices) > _LONG_LIST:
        extra = {**extra, "input_config": None}
        listed = f"(list of length {len(choices)})"
    details = f"{extra['input_name']}: '{value}' not in {listed}"
    return [_reason("value_not_in_list", "Value not in list", details, extra, received_value=value)]


def missing(name: str) -> dict[str, Any]:
    """The reason for an input that is required and not there."""
    text = "Required input is missing"
    return _reason("required_input_missing", text, name, {"input_name": name})


def _reason(
    kind: str, message: str, details: str, extra: dict[str, Any], **more: Any
) -> dict[str, Any]:
    return {"type": kind, "message": message, "details": details, "extra_info": {**extra, **more}}


def _stumble(kind: str, where: str, error: Exception) -> dict[str, Any]:
    told = {
        "exception_type": type(error).__name__,
        "traceback": traceback.format_tb(error.__traceback__),
    }
    return _reason(kind, f"Exception when validating {where}", str(error), told)
