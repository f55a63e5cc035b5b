"""Which job is next: groups that share work stay together."""

import pytest

from nirfire.pipeline.ready import Ready


@pytest.fixture
def ready() -> Ready:
    """Jobs 0 and 1 share nothing; 10 to 12 share A, 20 to 22 share B."""
    queue = Ready(lambda k: {1: "A", 2: "B"}.get(k // 10, ""))
    for k in (22, 11, 1, 20, 0, 12, 10, 21):
        queue.push(k)
    return queue


def test_the_earliest_goes_first_and_another_worker_begins_another_group(ready: Ready) -> None:
    assert [ready.pop(), ready.pop()] == [0, 1]
    assert ready.shares
    assert ready.pop() == 10
    assert ready.pop(busy=["A"]) == 20


def test_who_has_ended_a_job_goes_on_with_its_group(ready: Ready) -> None:
    assert ready.pop("B", busy=["A"]) == 20
    assert ready.pop("B", busy=["A"]) == 21


def test_two_workers_share_a_group_when_nothing_else_is_left(ready: Ready) -> None:
    for _ in range(5):
        ready.pop("B")
    assert ready.pop(busy=["A"]) == 10
    assert [ready.pop(busy=["A"]), ready.pop("A", busy=["A"])] == [11, 12]
    assert not ready
