"""Which stage holds up the others."""

from __future__ import annotations

from antflow_rich._bottleneck import FULLY_AT_WORK, bottleneck
from antflow_rich._scene import Shares, StageScene


def of(name: str, lately: Shares, pending: int = 0, capacity: int | None = 10) -> StageScene:
    return StageScene(name, lately=lately, pending=pending, capacity=capacity)


AT_WORK, BLOCKED, IDLE = (0.95, 0.0, 0.0, 0.05), (0.2, 0.0, 0.8, 0.0), (0.1, 0.0, 0.0, 0.9)


def test_the_stage_that_is_at_work_all_the_time_is_the_bottleneck() -> None:
    stages = [of("a", BLOCKED, 10), of("b", AT_WORK, 10), of("c", IDLE)]
    assert bottleneck(stages) is stages[1]


def test_a_stage_that_waits_for_a_limit_may_be_the_bottleneck() -> None:
    stages = [of("a", BLOCKED), of("b", (0.1, 0.85, 0.0, 0.05))]
    assert bottleneck(stages) is stages[1]


def test_of_two_that_are_equally_busy_it_is_the_one_with_the_fuller_queue() -> None:
    stages = [of("a", AT_WORK, 1), of("b", (0.96, 0.0, 0.0, 0.04), 0), of("c", AT_WORK, 9)]
    assert bottleneck(stages) is stages[2]
    without_bound = [of("a", AT_WORK, 1), of("b", AT_WORK, 500, None)]
    assert bottleneck(without_bound) is without_bound[1]


def test_where_all_wait_for_the_input_there_is_none() -> None:
    assert bottleneck([of("a", IDLE), of("b", IDLE)]) is None
    assert bottleneck([]) is None


def test_a_stage_alone_is_no_bottleneck() -> None:
    assert bottleneck([of("a", AT_WORK)]) is None


def test_a_stage_that_is_at_work_a_part_of_the_time_holds_nobody_up() -> None:
    less, more = FULLY_AT_WORK - 0.01, FULLY_AT_WORK + 0.01
    stages = [of("a", IDLE), of("b", (less, 0.0, 0.0, 1 - less), 10)]
    assert bottleneck(stages) is None
    stages = [of("a", IDLE), of("b", (more / 2, more / 2, 0.0, 1 - more))]
    assert bottleneck(stages) is stages[1]
