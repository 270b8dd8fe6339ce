"""Spells the review sheet's style, and the policy that lets a browser obey nothing else."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256

STYLE = """
:root{color-scheme:light dark;--paper:#fbfaf7;--card:#fff;--ink:#1b1b1b;--soft:#565656;
--rule:#d9d5cc;--accent:#0a5aa3;--good:#17692f;--bad:#a3211a;--wait:#7a5200;--code:#f1efe9}
@media screen and (prefers-color-scheme:dark){:root{--paper:#16171a;--card:#1f2125;--ink:#ececec;
--soft:#b3b3b3;--rule:#3b3e44;--accent:#8cc2ff;--good:#7ed796;--bad:#ff9d94;--wait:#f2c46b;
--code:#2a2d32}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
header,main,footer,nav{max-width:76rem;margin:0 auto;padding:0 1rem}
header{padding-top:1.5rem}
h1{font-size:1.7rem;margin:0}
h2{font-size:1.25rem;margin:2.5rem 0 .75rem;border-bottom:2px solid var(--rule)}
h3{font-size:1rem;margin:0;overflow-wrap:anywhere}
p{margin:.35rem 0;overflow-wrap:anywhere}
a{color:var(--accent)}
a:focus-visible,summary:focus-visible,code:focus-visible,.wide:focus-visible{
outline:3px solid var(--accent);outline-offset:2px}
.skip{position:absolute;left:-99rem}
.skip:focus{left:1rem;top:.5rem;background:var(--card);padding:.5rem}
nav ul{display:flex;flex-wrap:wrap;gap:.25rem 1.25rem;list-style:none;padding:0;margin:.75rem 0}
.soft,figcaption,dt,caption{color:var(--soft)}
.note{border-left:4px solid var(--wait);background:var(--card);padding:.5rem .75rem;
margin:.75rem 0}
.note.bad{border-color:var(--bad)}
.cards{display:grid;gap:1rem;align-items:start;grid-template-columns:repeat(auto-fill,minmax(min(16rem,100%),1fr))}
.card{background:var(--card);border:1px solid var(--rule);border-radius:.5rem;padding:.75rem;
min-width:0}
.card.broad{grid-column:1/-1}
.pictures{display:flex;flex-wrap:wrap;gap:.5rem;margin:.5rem 0}
figure{margin:0;flex:1 1 6.5rem}
.broad figure{flex-basis:20rem;max-width:44rem}
img{max-width:100%;height:auto;display:block;background:var(--code);border-radius:.25rem}
figcaption,.prompt{font-size:.85rem}
h4{font-size:.9rem;margin:.75rem 0 0;overflow-wrap:anywhere}
.phase{font-weight:600}
.published,.approved{color:var(--good)}
.failed,.quarantined,.rejected,.refused{color:var(--bad)}
.waiting,.held,.running,.publishing{color:var(--wait)}
details{margin:.35rem 0;font-size:.9rem}
summary{cursor:pointer;color:var(--accent)}
dl{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:.1rem .75rem;
margin:.35rem 0}
dd{margin:0;overflow-wrap:anywhere}
code{background:var(--code);padding:.1rem .3rem;border-radius:.25rem;font-size:.85rem;
overflow-wrap:break-word;user-select:all;-webkit-user-select:all}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.9rem}
caption{text-align:left}
th,td{text-align:left;vertical-align:top;padding:.3rem .6rem .3rem 0;
border-bottom:1px solid var(--rule)}
th[scope=row]{overflow-wrap:anywhere;min-width:8.5rem}
td.reason{min-width:11rem;overflow-wrap:anywhere}
progress{width:100%;height:1rem;accent-color:var(--accent)}
svg.night{width:100%;min-width:38rem;height:auto}
svg.night text{font:13px system-ui,sans-serif;fill:var(--soft)}
.band{fill:var(--rule)}
.band.training{fill:var(--accent);opacity:.35}
.plan{fill:var(--accent);stroke:var(--paper)}
.now{stroke:var(--bad);stroke-width:2}
.tick{stroke:var(--rule)}
footer{padding-top:2rem;padding-bottom:3rem;color:var(--soft);font-size:.9rem}
@media print{:root{color-scheme:light;--paper:#fff;--card:#fff;--ink:#000;--soft:#444;
--rule:#999;--code:#fff}nav,.skip,.commands,details:not([open]){display:none}
body{font-size:10pt}summary{list-style:none;color:inherit;font-weight:600}
.cards{grid-template-columns:repeat(3,1fr)}.card,tr{break-inside:avoid}h2{break-after:avoid}}
"""

_HASH = b64encode(sha256(STYLE.encode()).digest()).decode()

POLICY = (
    f"default-src 'none'; img-src 'self' file:; style-src 'sha256-{_HASH}'; base-uri 'none';"
    " form-action 'none'"
)
"""No script, no network, no style but ours: whatever a job's text says, it is text."""
