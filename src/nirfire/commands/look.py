"""`plan`, `status` and `show`: looking without changing anything."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable

from rich.table import Table as Grid

from nirfire.commands.aim import BAD_JOBS, Aim
from nirfire.commands.output import first_line, say, show_grid
from nirfire.pipeline.jobs import BAD, BLOCKED, DONE, FAILED, NO_WORK
from nirfire.pipeline.plan import STALE, TODO, Plan
from nirfire.pipeline.run import Prospect, RunOptions
from nirfire.pipeline.stages import TASKS
from nirfire.pipeline.stale import roots, why
from nirfire.pipeline.target import Observation

STATES = (DONE, NO_WORK, STALE, TODO)
LABELS = (DONE, NO_WORK, STALE, FAILED, BLOCKED, TODO)
LISTED = 10  # stale jobs of one stage that are explained one by one


def plan(aim: Aim, *, everything: bool) -> None:
    """Show the recipe with the number of jobs in each state; with `everything` also each job."""
    for observation in aim.observations():
        prospect = aim.look(observation)
        grid = Grid("stage", "what it does", "one job per", "jobs", *STATES, title=_title(observation, prospect))
        counts = prospect.plan.counts(prospect.chosen)
        for stage, found in counts.items():
            task = TASKS[stage]
            cells = [str(found[s]) if found[s] else "" for s in STATES]
            grid.add_row(stage, task.about, task.per, str(found.total()), *cells)
        show_grid(grid)
        if everything:
            list_jobs(prospect, prospect.chosen)
        _say_problems(prospect)


def dry_run(aim: Aim, options: RunOptions) -> None:
    """List the jobs that a run would run."""
    for observation in aim.observations():
        prospect = aim.look(observation)
        wanted = {TODO} | ({STALE} if options.rerun == STALE else set())
        states = prospect.plan.states
        chosen = [k for k in prospect.chosen if options.overwrite or states[k].status in wanted]
        list_jobs(prospect, chosen)
        say(f"{observation.workspace.observation}: {len(chosen)} of {len(prospect.chosen)} jobs would run")
        _say_problems(prospect)


def list_jobs(prospect: Prospect, chosen: Iterable[int]) -> None:
    """Print jobs with their states."""
    grid = Grid("stage", "job", "state", "reason")
    for k in chosen:
        job, state = prospect.plan.jobs[k], prospect.plan.states[k]
        grid.add_row(job.stage, job.key, state.status, first_line(state.reason))
    show_grid(grid)


def status(aim: Aim) -> int:
    """Show what is done, without work, failed and stale, and why.

    Returns
    -------
    int
        3 when jobs ended badly, else 0.
    """
    code = 0
    for observation in aim.observations():
        prospect = aim.look(observation)
        made, chosen = prospect.plan, prospect.chosen
        latest = made.ledger.latest
        grid = Grid("stage", "jobs", *LABELS, title=_title(observation, prospect))
        by_label: dict[str, list[int]] = {label: [] for label in LABELS}
        counts: dict[str, Counter[str]] = {}
        for k in chosen:
            label = _label(made, k)
            by_label[label].append(k)
            counts.setdefault(made.jobs[k].stage, Counter())[label] += 1
        for stage, found in counts.items():
            grid.add_row(stage, *(str(n) if n else "" for n in (found.total(), *(found[label] for label in LABELS))))
        show_grid(grid)
        failed, blocked = by_label[FAILED], by_label[BLOCKED]
        _reasons("failed", [(made.jobs[k].id, latest[made.jobs[k].id].reason) for k in failed])
        _reasons(BLOCKED, [(made.jobs[k].id, latest[made.jobs[k].id].reason) for k in blocked])
        partial = [k for k in chosen if made.states[k].status == DONE and made.states[k].reason]
        _reasons("done in part", [(made.jobs[k].id, made.states[k].reason) for k in partial])
        no_work = [k for k in chosen if made.states[k].status == NO_WORK]
        _reasons(NO_WORK, [(made.jobs[k].id, made.states[k].reason) for k in no_work])
        _say_stale(observation, prospect)
        _say_problems(prospect)
        code = BAD_JOBS if failed or prospect.inputs.problems else code
    return code


def _label(made: Plan, k: int) -> str:
    """State of a job; where its last run ended badly, that, be there a product of an earlier one or not."""
    state, last = made.states[k].status, made.ledger.latest.get(made.jobs[k].id)
    if last is None or state not in (TODO, STALE):
        return state
    return FAILED if last.status in BAD else BLOCKED if last.status == BLOCKED else state


def _say_stale(observation: Observation, prospect: Prospect) -> None:
    made = prospect.plan
    stale = [k for k in prospect.chosen if made.states[k].status == STALE]
    if not stale:
        return
    first = roots(made, prospect.chosen)
    by_stage: Counter[str] = Counter()
    shown = []
    for k in first:
        by_stage[made.jobs[k].stage] += 1
        if by_stage[made.jobs[k].stage] <= LISTED:
            shown.append((made.jobs[k].id, why(made, k)))
    _reasons(STALE, shown)
    unseen = len(first) - len(shown)
    more = f" {unseen} more for the like," if unseen > 0 else ""
    say(f"stale:{more} {len(stale) - len(first)} made from those")
    say(f"to redo exactly those: nirfire run {observation.workspace.folder} --rerun stale")


def _reasons(heading: str, found: list[tuple[tuple[str, str], str]]) -> None:
    """Print jobs by the reason for which they are as they are, the commonest first."""
    by_reason: dict[tuple[str, str], list[str]] = {}
    for (stage, key), reason in found:
        by_reason.setdefault((stage, reason), []).append(key)
    for (stage, reason), keys in sorted(by_reason.items(), key=lambda item: -len(item[1])):
        some = ", ".join(keys[:3]) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")
        say(f"{heading}: {stage} {some}\n  {reason}")


def _say_problems(prospect: Prospect) -> None:
    for problem in prospect.inputs.problems:
        say(f"unusable input: {problem}")
    for note in prospect.notes:
        say(f"note: {note}")


def history(aim: Aim, source: int) -> None:
    """Show all that was ever done for a source."""
    for observation in aim.observations():
        prospect = aim.look(observation)
        made = prospect.plan
        mine = [k for k, job in enumerate(made.jobs) if job.source == source]
        if not mine:
            known = ", ".join(map(str, sorted({j.source for j in made.jobs if j.source is not None})[:20]))
            say(f"{observation.workspace.observation} has no source {source}; it has {known}")
            continue
        before = sorted(k for k in made.ancestors(mine) if made.jobs[k].source in (None, source))
        grid = Grid("ended", "stage", "job", "status", "s", "GB", "fingerprint", "reason", title=f"source {source}")
        for entry in made.ledger.history(made.jobs[k].id for k in before):
            o = entry.outcome
            when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry.time))
            grid.add_row(
                *(when, o.task, o.key, o.status, f"{o.seconds:.1f}", f"{o.memory:.1f}", o.fingerprint),
                first_line(o.reason),
            )
        show_grid(grid)
        now = Counter(made.states[k].status for k in mine)
        say("now: " + ", ".join(f"{n} {name}" for name, n in now.items()))
        _reasons(STALE, [(made.jobs[k].id, why(made, k)) for k in roots(made, mine)])
        say(f"products: {observation.workspace.source_folder(source)}\nlogs: {observation.workspace.logs}")


def _title(observation: Observation, prospect: Prospect) -> str:
    inputs = prospect.inputs
    what = [f"{len(inputs.exposures)} exposures"] if inputs.exposures else []
    what += [f"{len(inputs.cutouts)} cutouts"] if inputs.cutouts else []
    sources = {job.source for job in prospect.plan.jobs if job.source is not None}
    return f"{observation.workspace.observation}: {', '.join(what)}, {len(sources)} sources, CRDS {prospect.plan.crds}"
