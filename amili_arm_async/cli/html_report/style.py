"""How the page looks, and its small script; both are named in its content security policy by their digest."""

from __future__ import annotations

from typing import Final

from ...bulk.outcomes import STATES

__all__ = ["SCRIPT", "STYLE"]

SCRIPT: Final = """
(() => {
  const groups = () => document.querySelectorAll("details.group");
  let shut = [];
  for (const button of document.querySelectorAll("button.copy")) {
    const text = button.previousElementSibling;
    button.hidden = false;
    button.addEventListener("click", async () => {
      getSelection().selectAllChildren(text);
      try { await navigator.clipboard.writeText(text.textContent); } catch { document.execCommand("copy"); }
      button.textContent = "Copied";
    });
  }
  addEventListener("beforeprint", () => {
    shut = [...groups()].filter((group) => !group.open);
    for (const group of shut) group.open = true;
  });
  addEventListener("afterprint", () => {
    for (const group of shut) group.open = false;
  });
})();
"""
"""Copies commands; what is folded is printed, too."""

_RULES: Final = """
:root {
  color-scheme: light dark;
  --paper: #fbfaf6; --card: #ffffff; --ink: #1c1f22; --quiet: #5b6066; --rule: #dcd9d0; --link: #1d5a86;
  --good: #1d6b45; --bad: #b02318; --tint: #fbebe8;
  --succeeded: #2f8159; --done_before: #7fae95; --unchanged: #b9c4bd; --accepted: #4a7fb5; --unknown: #b8790f;
  --failed: #c0392b; --rejected: #8e2a4f; --invalid: #7a4a9e; --blocked: #8a6a4a; --not_sent: #7b8087;
  --serif: "Iowan Old Style", Charter, "Bitstream Charter", "Source Serif 4", Georgia, Cambria, "DejaVu Serif", serif;
  --sans: system-ui, -apple-system, "Segoe UI", "Helvetica Neue", "Liberation Sans", Arial, sans-serif;
  --mono: ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", "DejaVu Sans Mono", monospace;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --paper: #16181b; --card: #1d2024; --ink: #e7e4dd; --quiet: #a3a8ae; --rule: #363a40; --link: #8cbfe6;
    --good: #78c79c; --bad: #ff9084; --tint: #35201e;
    --succeeded: #4fa57a; --done_before: #3d6f57; --unchanged: #5a655f; --accepted: #6ba1d8; --unknown: #e0a03a;
    --failed: #e0604f; --rejected: #cc6690; --invalid: #a97fd0; --blocked: #b08d68; --not_sent: #858b93;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0 auto; padding: clamp(1.25rem, 4vw, 3.5rem) clamp(1rem, 4vw, 2.5rem) 4rem; max-width: 62rem;
  background: var(--paper); color: var(--ink); font: 1rem/1.55 var(--sans); font-variant-numeric: tabular-nums lining-nums;
}
h1, h2, h3, h4 { font-family: var(--serif); font-weight: 600; line-height: 1.2; text-wrap: balance; }
h1 { font-size: clamp(1.8rem, 1.1rem + 3vw, 3rem); letter-spacing: -.015em; margin: .35em 0 .7em; max-width: 24ch; }
h2 { font-size: 1.65rem; margin: 0 0 .3rem; }
h3, article h4 { font-size: 1.15rem; margin: 2.4rem 0 .7rem; }
article h3 { font-size: 1.4rem; margin: 0 0 .3rem; }
p { margin: .5rem 0; }
a { color: var(--link); }
:focus-visible { outline: 3px solid var(--link); outline-offset: 3px; border-radius: 2px; }
.skip { position: absolute; left: -99rem; }
.skip:focus { left: 1rem; top: .5rem; background: var(--card); padding: .4rem .8rem; }
.quiet, .kicker, footer, .facts { color: var(--quiet); }
.kicker { font-size: .9rem; margin: 0; }
.good { color: var(--good); }
.bad { color: var(--bad); }
h1.uncertain { color: var(--ink); }
h1 .mark { display: inline-block; margin-right: .3em; }
code { font: .92em var(--mono); overflow-wrap: anywhere; }
.n { text-align: right; white-space: nowrap; }

.steps, .alarm { border-left: 3px solid var(--ink); padding: .1rem 0 .1rem 1.2rem; margin: 0 0 1.6rem; max-width: 46rem; }
.steps :is(h2, h3), .alarm :is(h2, h3) { font: 600 1rem var(--sans); margin: 0 0 .3rem; }
.steps ol, .alarm ul { margin: 0; padding-left: 1.3rem; overflow-wrap: anywhere; }
.steps li, .alarm li { padding-left: .2rem; margin: .3rem 0; }
.alarm { border-color: var(--bad); background: var(--tint); padding: .9rem 1.2rem; }
.alarm :is(h2, h3) { color: var(--bad); }

section.steps { margin-top: 2.4rem; }
h1 + .alarm { margin-top: 0; }
header + main > section:first-child { margin-top: 1.6rem; }
nav { margin-top: 3rem; display: grid; grid-template-columns: repeat(auto-fit, minmax(14rem, 1fr)); border-top: 1px solid var(--rule);
  border-bottom: 1px solid var(--rule); }
nav a { display: block; padding: 1.1rem 1rem 1.1rem 0; color: inherit; text-decoration: none; }
nav a:hover .name { text-decoration: underline; }
nav a > * { display: block; }
nav a b { font: 600 2.1rem/1.15 var(--serif); letter-spacing: -.01em; }
nav .name { color: var(--link); font-weight: 600; }

section { margin-top: 3.6rem; }
table { border-collapse: collapse; width: 100%; font-size: .95rem; }
caption { text-align: left; font-weight: 600; padding: 0 0 .35rem; }
th, td { text-align: left; padding: .38rem .9rem .38rem 0; border-top: 1px solid var(--rule); vertical-align: baseline; font-weight: 400; }
th:last-child, td:last-child { padding-right: 0; }
th.n { text-align: right; }
thead th, thead td { font-size: .82rem; color: var(--quiet); border-top: 0; }
tbody th { white-space: nowrap; }

.bar { display: block; width: 100%; height: 1.5rem; margin: 1.2rem 0 1.5rem; }
.swatch { display: inline-block; width: .7rem; height: .7rem; margin-right: .6rem; border-radius: 2px; background: var(--state); }
.bar rect { fill: var(--state); }
.counts td.meaning, .counts th.meaning { padding-left: 1.2rem; width: 55%; }
.adds-up { font-size: .95rem; margin: .6rem 0 0; }
.adds-up .mark { display: inline-block; width: 1.3rem; font-weight: 700; }
p.adds-up.bad { border: 1px solid var(--bad); background: var(--tint); padding: .5rem .7rem; font-weight: 600; }

.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: 1rem 1.5rem; margin: 0; }
.figures dt { font-size: .9rem; }
.figures dd { margin: 0; }
.figures b { display: block; font: 600 1.5rem/1.2 var(--serif); }
.figures span { display: block; font-size: .82rem; line-height: 1.35; }

.currencies { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 21rem), 1fr)); gap: 1.5rem 3rem; }
.currency caption { font: 600 1.15rem var(--serif); }
.currency .whole th, .currency .whole td, .currency .sum th, .currency .sum td { font-weight: 600; }
.currency .sum th, .currency .sum td { border-top: 2px solid var(--ink); }
.currency.broken .sum th, .currency.broken .sum td { border-top-color: var(--bad); color: var(--bad); }
.currency td.n:last-child { white-space: normal; overflow-wrap: anywhere; }
.notes { margin: 1rem 0 0; padding-left: 1.2rem; font-size: .92rem; }

.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: 1.5rem 2rem; }
figure { margin: 0; }
figcaption { display: flex; flex-wrap: wrap; gap: .1rem 1rem; justify-content: space-between; font-size: .92rem; }
.legend { color: var(--quiet); }
.legend { width: 100%; }
.legend > span { margin-left: .9rem; white-space: nowrap; }
.legend > span:first-child { margin-left: 0; }
.key { display: inline-block; width: .85rem; height: .7rem; margin-right: .4rem; border-radius: 2px; background: var(--succeeded); }
.key.failure { background: var(--failed); }
.key.p50, .key.p95 { height: 0; border-top: 3px solid var(--accepted); background: none; vertical-align: .22rem; border-radius: 0; }
.key.p95 { border-top: 2px dashed var(--unknown); }
.chart { display: block; width: 100%; height: auto; margin-top: .4rem; overflow: visible; }
.chart text { font: 12px var(--sans); fill: var(--quiet); }
.chart .grid { stroke: var(--rule); }
.chart .axis { stroke: var(--quiet); }
.chart .success { fill: var(--succeeded); }
.chart .failure { fill: var(--failed); }
.chart polyline { fill: none; stroke-width: 2; stroke-linejoin: round; }
.chart .p50 { stroke: var(--accepted); }
.chart .p95 { stroke: var(--unknown); stroke-dasharray: 5 3; stroke-width: 1.5; }
.chart circle { fill: none; }

details { margin: 0; }
summary { cursor: pointer; }
.numbers { margin-top: 1rem; font-size: .92rem; }
.numbers summary { color: var(--link); }
.scroll { overflow: auto; max-height: 24rem; margin-top: .8rem; }
.buckets td, .buckets th { text-align: right; white-space: nowrap; }
.buckets th:first-child { text-align: left; }
.group { border-top: 1px solid var(--rule); padding: .7rem 0; }
.group:last-of-type { border-bottom: 1px solid var(--rule); }
.group summary { display: flex; flex-wrap: wrap; align-items: baseline; gap: .2rem .9rem; }
.group summary::before { content: "\\25B8"; color: var(--quiet); width: .8rem; }
.group[open] summary::before { content: "\\25BE"; }
.group summary::-webkit-details-marker { display: none; }
.group summary b { font: 600 1.2rem var(--serif); min-width: 3rem; text-align: left; }
.chip::before { content: ""; display: inline-block; width: .7rem; height: .7rem; border-radius: 2px; margin-right: .5rem;
  background: var(--state); }
.group > p, .group > table { margin: .5rem 0 .8rem 1.7rem; max-width: 44rem; }
.group > table { width: auto; }
.group td.n { min-width: 4.2rem; }
.group td.why { overflow-wrap: anywhere; }
.group caption { font-weight: 400; color: var(--quiet); font-size: .88rem; }
.group > .command { margin: .2rem 0 1rem 1.7rem; max-width: 44rem; }
.group summary .meaning { flex: 1 1 14rem; min-width: 0; overflow-wrap: anywhere; }
.word { white-space: nowrap; }
.command { display: flex; flex-wrap: wrap; align-items: flex-start; gap: .6rem; margin: .5rem 0 .9rem; }
.command pre { flex: 1 1 14rem; min-width: 0; font-size: .88rem; margin: 0; padding: .6rem .8rem;
  border: 1px solid var(--rule); border-radius: 4px; background: var(--card);
  white-space: pre-wrap; overflow-wrap: anywhere; user-select: all; }
.copy { font: inherit; font-size: .88rem; padding: .45rem .8rem; border: 1px solid var(--quiet); border-radius: 4px;
  background: var(--card); color: var(--ink); cursor: pointer; }
.risk { max-width: 44rem; }
.risk tbody th { font-weight: 600; }
.risk .sum th, .risk .sum td { font-weight: 600; border-top: 1px solid var(--ink); }
.clients th, .clients td { padding-top: .6rem; padding-bottom: .6rem; }
.clients td.verdict { overflow-wrap: anywhere; width: 60%; }
article { margin-top: 5rem; border-top: 3px solid var(--ink); padding-top: 1.6rem; }
article > h2 { font-size: 2rem; }
article > .verdict { font-size: 1.15rem; font-weight: 600; margin: .3rem 0 1rem; }
article > section { margin-top: 2.4rem; }
.mark { margin-right: .3em; }
.remedy { font-family: var(--serif); font-size: 1.05rem; }

.run { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); gap: 0 2.5rem; margin: .8rem 0 0; }
.run > div { display: flex; gap: 1rem; border-top: 1px solid var(--rule); padding: .4rem 0; }
.run dt { color: var(--quiet); flex: 0 0 7.2rem; }
.run dd { margin: 0; overflow-wrap: anywhere; min-width: 0; }
footer { margin-top: 3.5rem; font-size: .85rem; }

@media (max-width: 40rem) {
  .counts thead { position: absolute; left: -99rem; }
  .counts tr { display: grid; grid-template-columns: 1fr auto 4.6rem; border-top: 1px solid var(--rule); padding: .4rem 0; }
  .counts th, .counts td { border: 0; padding: 0 0 0 .6rem; }
  .counts th { padding-left: 0; }
  .counts td.meaning { grid-column: 1 / -1; width: auto; padding-left: 1.3rem; font-size: .88rem; }
  .group > p, .group > table, .group > .command { margin-left: 0; }
  .command pre { flex-basis: 100%; }
  .clients th, .clients td { padding-right: .5rem; font-size: .85rem; }
  .risk th, .risk td, .risk thead th { padding-right: .35rem; font-size: .78rem; }
  .risk .swatch { margin-right: .3rem; }
  .risk td.n:last-child { white-space: normal; overflow-wrap: anywhere; }
  .currency table { font-size: .85rem; }
  .currency th, .currency td { padding-right: .5rem; }
}
@media print {
  @page { margin: 16mm 15mm; }
  body { padding: 0; max-width: none; background: #fff; font-size: 9.5pt; -webkit-print-color-adjust: exact; print-color-adjust: exact; }
  h1 { font-size: 22pt; }
  section { margin-top: 2rem; }
  article { break-before: page; margin-top: 0; }
  h2, h3, h4, figcaption, caption, summary { break-after: avoid; }
  figure, .currency, .figures, tr, .run > div, .bar { break-inside: avoid; }
  .skip, .numbers, .copy, .group summary::before { display: none; }
  a { color: inherit; }
}
"""

# A state without a colour of its own has that of what was not sent.
_STATE_COLOURS: Final = "\n".join(f".s-{state} {{ --state: var(--{state}, var(--not_sent)); }}" for state in STATES)

STYLE: Final = f"{_RULES}{_STATE_COLOURS}\n"
"""The style sheet of the page."""
