"""The demo scene holds what it promises and obeys the instrument."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nirfire.errors import DataError
from nirfire.simulate.operability import msa_operability
from nirfire.simulate.scene import Scene, Sky, demo_scene, standard_sky


def test_standard_scene_has_every_special_case() -> None:
    scene = demo_scene()
    sources = [s for _, s in scene.sources()]
    kinds = {s.kind for s in sources}
    assert kinds == {"point", "galaxy", "agn", "star"}
    assert sum(s.primary for s in sources) >= 12
    assert any(not s.primary and s.catalogued for s in sources)
    assert any(not s.catalogued for s in sources)
    assert any(slitlet.stuck_closed for slitlet in scene.slitlets)
    assert {s.blank for s in scene.slitlets if not s.sources} == {"virtual", "background"}
    assert max(s.z for s in sources if np.isfinite(s.z)) > 9
    assert {s.quadrant for s in scene.slitlets} == {1, 2, 3, 4}


def test_small_scene_is_on_nrs1() -> None:
    scene = demo_scene("small")
    assert len(scene.slitlets) == 4
    assert {s.quadrant for s in scene.slitlets} <= {3, 4}


def test_large_scene_is_reproducible_and_free_of_collisions() -> None:
    scene, again, other = demo_scene("large"), demo_scene("large"), demo_scene("large", seed=2)
    assert len(scene.slitlets) == 42
    places = [(s.quadrant, s.xcen, s.ycen) for s in scene.slitlets]
    assert places == [(s.quadrant, s.xcen, s.ycen) for s in again.slitlets]
    assert places != [(s.quadrant, s.xcen, s.ycen) for s in other.slitlets]
    for quadrant in (1, 2, 3, 4):
        rows = sorted(s.ycen for s in scene.slitlets if s.quadrant == quadrant)
        assert min(np.diff(rows)) >= 7
    for half in (0, 1):
        rows = sorted(s.ycen for s in demo_scene().slitlets if s.quadrant % 2 == half)
        assert min(np.diff(rows)) >= 8


def test_no_slitlet_uses_a_failed_shutter() -> None:
    failed = {(b.quadrant, b.xcen, b.ycen) for b in msa_operability()}
    used = {(s.quadrant, s.xcen, s.ycen + k) for s in demo_scene("large").slitlets for k in range(-2, 3)}
    assert not failed & used


def test_gratings_get_brighter_continua() -> None:
    prism, medium = demo_scene("small"), demo_scene("small", "G395M")
    ratio = medium.slitlets[0].sources[0].spectrum.density(4.0) / prism.slitlets[0].sources[0].spectrum.density(4.0)
    assert ratio == pytest.approx(4.0)


def test_sky_varies_over_the_msa() -> None:
    sky = Sky()
    left, right = (sky.brightness(2.0, x, 0.0) for x in (-0.04, 0.04))
    assert 0.02 < abs(right / left - 1) < 0.3
    assert 3.0 < standard_sky(2.0) < 5.0  # uJy/arcsec2: 0.17 MJy/sr
    assert standard_sky(5.2) > 2 * standard_sky(3.0)


def test_bad_scenes_are_refused() -> None:
    with pytest.raises(DataError, match="size"):
        demo_scene("huge")
    slitlet = demo_scene("small").slitlets[0]
    with pytest.raises(DataError, match="differ"):
        Scene((slitlet, slitlet))
    twin = replace(slitlet.sources[0], source_id=999)
    with pytest.raises(DataError, match="one primary"):
        Scene((replace(slitlet, sources=(*slitlet.sources, twin)),))
