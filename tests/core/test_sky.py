"""Which pixels see sky, and why not the others."""

import numpy as np

from nirfire.core.background import Sky
from nirfire.core.sky import DO_NOT_USE, JUMP_DET, SATURATED, event_halos, sky_bits

SHAPE = (2048, 300)
NONE = np.zeros(SHAPE, bool)


def bits(sci=None, dq=None, **masks):
    sci = np.zeros(SHAPE) if sci is None else sci
    dq = np.zeros(SHAPE, np.uint32) if dq is None else dq
    return sky_bits(sci, dq, **({"traces": NONE, "failed_open": NONE, "orders": NONE, "manual": NONE} | masks))


def test_every_reason_has_its_bit():
    where = {name: NONE.copy() for name in ("traces", "failed_open", "orders", "manual")}
    for k, mask in enumerate(where.values()):
        mask[100 + k, 50] = True
    sci, dq = np.zeros(SHAPE), np.zeros(SHAPE, np.uint32)
    sci[110, 50] = np.nan
    dq[111, 50] = DO_NOT_USE | 2048
    found = bits(sci, dq, **where)
    reasons = [Sky.TRACE, Sky.FAILED_OPEN, Sky.ORDER, Sky.MANUAL]
    assert [found[100 + k, 50] for k in range(4)] == reasons
    assert found[110, 50] == found[111, 50] == Sky.BAD
    assert found[1000, 50] == Sky.FIXED_SLIT
    assert found[2, 50] == Sky.BAD
    assert found[200, 50] == Sky.FITTED


def test_flags_that_do_not_forbid_use_leave_sky():
    dq = np.full(SHAPE, 4 | 2048 | 65536, np.uint32)
    dq[::2, ::2] = 0
    dq[1::2] = 0  # no large events
    assert np.mean(bits(dq=dq) == Sky.FITTED) > 0.85


def test_snowballs_get_a_halo_and_ordinary_hits_none():
    dq = np.zeros(SHAPE, np.uint32)
    y, x = np.ogrid[: SHAPE[0], : SHAPE[1]]
    distance = np.hypot(y - 500, x - 150)
    dq[distance < 8] = SATURATED
    dq[(distance >= 8) & (distance < 12)] |= JUMP_DET
    dq[700:703, 20:24] = JUMP_DET
    halo = event_halos(dq)
    assert halo[distance < 17].all() and not halo[distance > 22].any()
    assert event_halos(np.where(distance < 30, 0, dq)).sum() == 0
