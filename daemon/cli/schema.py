"""The face: `schema`, the shapes of what others write and read, for editors and programs."""

from __future__ import annotations

import json

from daemon import __version__
from daemon.cli.arguments import Arguments
from daemon.cli.say import say
from daemon.wire.schema import definitions, schema_of, whole_schema
from daemon.wire.typescript import typescript


def schema(arguments: Arguments) -> int:
    """Print JSON Schema 2020-12, or TypeScript types."""
    if arguments.format == "ts":
        say(typescript(definitions(), version=__version__).rstrip())
        return 0
    found = schema_of(arguments.name) if arguments.name else whole_schema()
    say(json.dumps(found, indent=2))
    return 0
