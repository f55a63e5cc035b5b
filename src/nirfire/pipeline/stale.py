"""Why a product is stale."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from nirfire.pipeline.plan import STALE, TODO, Plan
from nirfire.products.provenance import read_facts

SHOWN = 4


def roots(plan: Plan, chosen: Iterable[int]) -> list[int]:
    """The stale jobs that hang on no other job that is stale or to do: with them it begins."""
    late = (STALE, TODO)
    return [
        k
        for k in chosen
        if plan.states[k].status == STALE and not any(plan.states[p].status in late for p in plan.producers_of(k))
    ]


def why(plan: Plan, k: int) -> str:
    """Say what has changed since a product was made.

    Parameters
    ----------
    plan : Plan
        The plan.
    k : int
        Number of a stale job.

    Returns
    -------
    str
        For example ``settings n_iter 5 -> 3``; for a job that had no work, the reason it gave then.
    """
    job = plan.jobs[k]
    path = next((p for p in plan.products(job) if plan.shelf.there(p)), None)
    if path is None:
        return plan.states[k].reason
    before = read_facts(path)
    if before is None:
        return "its product does not say how it was made"
    inputs = []
    for given in (*job.inputs, *job.gathered):
        p = plan.producer(given)
        inputs.append((given.name, plan.shelf.digest(given) if p is None else plan.expected[p]))
    now = json.loads(plan.make(job, inputs).facts)
    found = [text for name in sorted(set(before) | set(now)) for text in _differences(name, before, now)]
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return ", ".join(found[:SHOWN]) + more


def _differences(name: str, before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    old, new = before.get(name), now.get(name)
    if old == new:
        return []
    if not isinstance(old or {}, dict) or not isinstance(new or {}, dict):
        return [f"{name} {_short(old)} -> {_short(new)}"]
    old, new = old or {}, new or {}
    changed = sorted(key for key in {*old, *new} if old.get(key) != new.get(key))
    if name == "inputs":
        words = {(True, True): "changed", (False, True): "is new", (True, False): "is gone"}
        return [f"input {key} {words[key in old, key in new]}" for key in changed]
    return [f"{name} {key} {_short(old.get(key))} -> {_short(new.get(key))}" for key in changed]


def _short(value: Any) -> str:
    text = "none" if value is None else value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
