"""Spells the review sheet's pages: templates that escape every value, and hold no script.

Law: nothing but text comes from outside; what is in it can neither be obeyed by a browser nor hide.
"""

from __future__ import annotations

from collections.abc import Mapping

from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup

from daemon.wire.sheet_style import POLICY, STYLE
from daemon.wire.text import visible

_FRAME = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{{ csp }}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{{ title }}</title>
<style>{{ style }}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the sheet</a>
{% block body %}{% endblock %}
</body>
</html>
"""

_CARDS = """\
{% macro commands(list, of) %}{% if list %}
<details class="commands"><summary>Commands for {{ of }}</summary>
{% for what, command in list %}<p>{{ what }}: <code>{{ command }}</code></p>
{% endfor %}</details>{% endif %}{% endmacro %}

{% macro facts(rows) %}<dl>
{% for name, value in rows %}<dt>{{ name }}</dt><dd>{{ value }}</dd>
{% endfor %}</dl>{% endmacro %}

{% macro check(each) %}{% if each.check %} <strong>First check:</strong> \
{{ each.check }}{% endif %}{% endmacro %}

{% macro state(card) %}
<p><span class="phase {{ card.phase }}">{{ card.phase }}</span>\
{% if card.code %} <code>{{ card.code }}</code>{% endif %}\
 <span class="soft">{{ card.when }}</span></p>
{% if card.code %}<p>{{ card.sentence }}{{ check(card) }}</p>{% endif %}
{% for code, check in card.notes %}<p><code>{{ code }}</code> \
<strong>First check:</strong> {{ check }}</p>
{% endfor %}
{% endmacro %}

{% macro panel(card, root) %}
<article class="card" id="{{ card.job }}">
<h3>{{ card.job }}</h3>
{{ state(card) }}
{% if card.pictures %}<div class="pictures">
{% for picture in card.pictures %}<figure>\
{% if picture.file %}<a href="{{ root }}{{ picture.file }}">\
<img src="{{ root }}{{ picture.file }}" alt="{{ picture.alt }}" loading="lazy" decoding="async" \
width="{{ picture.width }}" height="{{ picture.height }}"></a>{% endif %}
<figcaption>{{ picture.caption }}{% if picture.approved %}, <span class="approved">approved</span>\
{% endif %}</figcaption></figure>
{% endfor %}</div>{% endif %}
<p class="prompt">{{ card.prompt }}</p>
<details><summary>How {{ card.job }} was made</summary>
{{ facts(card.facts) }}
{% for lora in card.loras %}<h4>LoRA {{ lora.name }}</h4>
{{ facts(lora.facts) }}{% endfor %}
</details>
{{ commands(card.commands, card.job) }}
</article>
{% endmacro %}

{% macro training(card, root) %}
<article class="card broad" id="{{ card.job }}">
<h3>{{ card.job }}</h3>
{{ state(card) }}
<div class="pictures">
{% for picture in card.pictures %}<figure><a href="{{ root }}{{ picture.file }}">\
<img src="{{ root }}{{ picture.file }}" alt="{{ picture.alt }}" loading="lazy"></a>
<figcaption>{{ picture.caption }}</figcaption></figure>
{% endfor %}</div>
{% if card.checkpoints %}<div class="wide" tabindex="0" role="region" \
aria-label="Checkpoints of {{ card.job }}"><table>
<caption>Checkpoints of {{ card.job }}</caption>
<thead><tr><th scope="col">step</th><th scope="col">loss</th><th scope="col">choose it</th></tr>\
</thead>
<tbody>{% for made in card.checkpoints %}<tr><th scope="row">{{ made.step }}</th>\
<td>{{ made.loss }}</td><td>{% if made.approved %}<span class="approved">approved</span>\
{% elif made.command %}<code>{{ made.command }}</code>{% endif %}</td></tr>
{% endfor %}</tbody></table></div>{% endif %}
<details><summary>What {{ card.job }} was trained on</summary>{{ facts(card.facts) }}</details>
{{ commands(card.commands, card.job) }}
</article>
{% endmacro %}
"""

_NIGHT = """\
<div class="wide" tabindex="0" role="region" aria-label="Time line">
<svg class="night" viewBox="0 0 960 132" role="img" aria-labelledby="night-title night-desc">
<title id="night-title">The next 24 hours</title><desc id="night-desc">{{ night.spoken }}</desc>
{% for tick in night.ticks %}<line class="tick" x1="{{ tick.x }}" x2="{{ tick.x }}" y1="8" \
y2="104"/><text x="{{ tick.x + 3 }}" y="124">{{ tick.text }}</text>
{% endfor %}<text x="0" y="24">panels</text><text x="0" y="56">training</text>
<text x="0" y="88">plan</text>
{% for band in night.panels %}<rect class="band" x="{{ band.x }}" y="12" width="{{ band.width }}" \
height="16"/>
{% endfor %}{% for band in night.training %}<rect class="band training" x="{{ band.x }}" y="44" \
width="{{ band.width }}" height="16"/>
{% endfor %}{% for band in night.plan %}<rect class="plan" x="{{ band.x }}" y="76" \
width="{{ band.width }}" height="16"/>
{% endfor %}<line class="now" x1="{{ night.now }}" x2="{{ night.now }}" y1="4" y2="108"/>
</svg></div>
<ul>{% for line in night.lines %}<li>{{ line }}</li>{% endfor %}</ul>
"""

_INDEX = """\
{% extends "frame" %}{% import "cards" as cards %}
{% block body %}
<header>
<h1>nightpress</h1>
<p class="soft">As of {{ at }} ({{ zone }}). It is written anew at every change: reload it.</p>
{% for note in notes %}<p class="note{{ ' bad' if note.bad }}">{{ note.text }}\
{% if note.command %} <code>{{ note.command }}</code>{% endif %}</p>
{% endfor %}
</header>
<nav aria-label="Parts of the sheet"><ul>
{% for part in ("Now", "Queue", "Tonight", "Panels", "Trainings", "Failures", "Ledger") %}\
<li><a href="#{{ part | lower }}">{{ part }}</a></li>
{% endfor %}</ul></nav>
<main id="main">
<section aria-labelledby="now"><h2 id="now">Now</h2>
{% if lease %}<p><span class="phase running">running</span> {{ lease.job }}: {{ lease.text }}</p>
{% if lease.steps %}<progress aria-label="Steps of {{ lease.job }}" max="{{ lease.steps }}" \
value="{{ lease.step }}"></progress>{% endif %}
{% else %}<p>Nothing runs.</p>{% endif %}
{% for line in standing %}<p class="soft">{{ line }}</p>
{% endfor %}</section>
<section aria-labelledby="queue"><h2 id="queue">Queue</h2>
{% if queue %}<div class="wide" tabindex="0" role="region" aria-label="The queue"><table>
<caption>{{ queued }} open; what runs first, then the order of the line</caption>
<thead><tr><th scope="col">job</th><th scope="col">where it stands</th>\
<th scope="col" class="commands">to cancel it</th></tr></thead>
<tbody>{% for job in queue %}<tr><th scope="row">{{ job.job }}</th>\
<td class="reason"><span class="phase {{ job.phase }}">{{ job.phase }}</span> \
{% if job.code %}<code>{{ job.code }}</code> {% endif %}{{ job.reason }}\
{% if job.start %} Not before {{ job.start }}.{% endif %}</td>\
<td class="commands"><code>nightpress cancel {{ job.job }}</code></td></tr>
{% endfor %}</tbody></table></div>{% else %}<p>It is empty.</p>{% endif %}</section>
<section aria-labelledby="tonight"><h2 id="tonight">Tonight</h2>
{% if night %}{% include "night" %}{% else %}<p>No daemon plans a night.</p>{% endif %}</section>
<section aria-labelledby="panels"><h2 id="panels">Panels, newest first</h2>
{% if months %}<p>By month: {% for month in months %}\
<a href="sheet/{{ month.file }}">{{ month.name }}</a>\
{{ "; " if not loop.last }}{% endfor %}</p>{% endif %}
{% if panels %}<div class="cards">{% for card in panels %}{{ cards.panel(card, "") }}{% endfor %}\
</div>{% else %}<p>None yet.</p>{% endif %}</section>
<section aria-labelledby="trainings"><h2 id="trainings">Trainings, newest first</h2>
{% if trainings %}<div class="cards">{% for card in trainings %}{{ cards.training(card, "") }}\
{% endfor %}</div>{% else %}<p>None yet.</p>{% endif %}</section>
<section aria-labelledby="failures"><h2 id="failures">Failures and refused files</h2>
{% if failures %}<div class="wide" tabindex="0" role="region" aria-label="Failures"><table>
<caption>The latest, newest first</caption>
<thead><tr><th scope="col">what</th><th scope="col">what happened, and the first check</th></tr>\
</thead>
<tbody>{% for each in failures %}<tr><th scope="row">{{ each.what }}</th>\
<td class="reason"><code>{{ each.code }}</code> {{ each.sentence }}\
{{ cards.check(each) }}{% if each.job %} <code class="commands">nightpress retry {{ each.job }}\
</code>{% endif %}</td></tr>
{% endfor %}</tbody></table></div>{% else %}<p>None.</p>{% endif %}</section>
<section aria-labelledby="ledger"><h2 id="ledger">Ledger</h2>
{{ cards.facts(ledger) }}
{% if incidents %}<div class="wide" tabindex="0" role="region" aria-label="Incidents"><table>
<caption>What a person should know, newest first</caption>
<thead><tr><th scope="col">at</th><th scope="col">code</th><th scope="col">what</th></tr></thead>
<tbody>{% for each in incidents %}<tr><td>{{ each.at }}</td><td><code>{{ each.code }}</code></td>\
<td class="reason">{{ each.text }}{{ cards.check(each) }}</td></tr>
{% endfor %}</tbody></table></div>{% endif %}</section>
</main>
<footer><p>nightpress wrote this by its ledger, which alone is to be believed.</p></footer>
{% endblock %}
"""

_MONTH = """\
{% extends "frame" %}{% import "cards" as cards %}
{% block body %}
<header><h1>{{ title }}</h1></header>
<nav aria-label="Other pages"><ul><li><a href="../index.html">The sheet of today</a></li>
{% for which, page in (("Newer", newer), ("Older", older)) if page %}\
<li>{{ which }}: <a href="{{ page.file }}">{{ page.name }}</a></li>
{% endfor %}</ul></nav>
<main id="main">
{% if trainings %}<section aria-labelledby="trainings"><h2 id="trainings">Trainings</h2>
<div class="cards">{% for card in trainings %}{{ cards.training(card, "../") }}{% endfor %}</div>
</section>{% endif %}
{% if panels %}<section aria-labelledby="panels"><h2 id="panels">Panels</h2>
<div class="cards">{% for card in panels %}{{ cards.panel(card, "../") }}{% endfor %}</div>
</section>{% endif %}
</main>
{% endblock %}
"""


def _finalized(value: object) -> object:
    return value if isinstance(value, Markup) or not isinstance(value, str) else visible(value)


_PAGES = Environment(
    loader=DictLoader(
        {"frame": _FRAME, "cards": _CARDS, "night": _NIGHT, "index": _INDEX, "month": _MONTH}
    ),
    autoescape=True,
    undefined=StrictUndefined,
    finalize=_finalized,
    trim_blocks=True,
)
# Its own text, which has no value of anybody's in it.
_PAGES.globals.update(csp=POLICY, style=Markup(STYLE))  # noqa: S704


def page(name: str, values: Mapping[str, object]) -> bytes:
    """The page ``index`` or ``month`` with these values, UTF-8."""
    return _PAGES.get_template(name).render(values).encode("utf-8", "replace")
