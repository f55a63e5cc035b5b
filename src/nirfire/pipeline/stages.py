"""The stages in their order: what each does, and what one job of it is about."""

from __future__ import annotations

from dataclasses import replace

from nirfire.pipeline.jobs import Task

EXPOSURE, ACTIVITY, SHOT, PAIR, GROUP, COMBINED, SOURCE = (
    "exposure, detector",
    "visit, activity",
    "exposure",
    "source, exposure",
    "source, background group",
    "source, grating",
    "source",
)
TASKS = {
    t.stage: t
    for t in (
        Task("detector", 1, "nirfire.tasks.detector:detector", "ramps to raw count rates", EXPOSURE, stock=True),
        Task("clean", 2, "nirfire.tasks.clean:clean", "background and noise of count rates", EXPOSURE, stock=True),
        Task(
            *("shutters", 1, "nirfire.tasks.shutters:shutters", "stuck-closed shutters, by their sky", ACTIVITY),
            gather="inputs",
            stock=True,
        ),
        Task(
            *("calibrate", 4, "nirfire.tasks.calibrate:calibrate", "2D cutout, wavelength, flux", PAIR),
            stock=True,
            shares=True,
        ),
        Task("adopt", 2, "nirfire.tasks.adopt:adopt", "cutouts that others calibrated", PAIR, stock=True),
        Task("sky", 1, "nirfire.tasks.sky:sky", "sky of all blank shutters", SHOT, gather="cals"),
        Task(
            *("nodsub", 2, "nirfire.tasks.nodsub:nodsub", "sky from the other nods", GROUP),
            gather="inputs",
            paired="outputs",
        ),
        Task(
            *("offsets", 1, "nirfire.tasks.offsets:offsets", "how far sources are from their places", ACTIVITY),
            gather="inputs",
            stock=True,
        ),
        Task("stack", 2, "nirfire.tasks.stack:stack", "one rectified 2D spectrum", COMBINED, "inputs", stock=True),
        Task("extract", 4, "nirfire.tasks.extract:extract", "1D spectrum", COMBINED, "inputs", stock=True),
        Task("join", 1, "nirfire.tasks.join:join", "one spectrum of all gratings", SOURCE, "inputs"),
        Task("redshift", 2, "nirfire.tasks.redshift:redshift", "1D to redshift", COMBINED),
        Task("agree", 1, "nirfire.tasks.agree:agree", "one redshift from all gratings", SOURCE, "inputs"),
    )
}
STAGES = tuple(TASKS)
HORNE = replace(TASKS["extract"], call="nirfire.tasks.horne:horne")
"""Extraction as published, from stacks."""
EXPOSURE_STAGES = ("detector", "clean")
WHOLE_STAGES = ("shutters", "sky", "offsets")
"""What looks at many exposures or many sources at once."""
