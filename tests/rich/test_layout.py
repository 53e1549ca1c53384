"""Blocks share the rows of a window by rank."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from antflow_rich._layout import SPACIOUS, Block, Need, fixed, gap_in, shared_out, stacked
from antflow_rich._lines import text


def block(name: str, least: int, most: int, rank: int) -> Block:
    return Block(lambda rows: [text(name)] * min(rows, most), [Need(rank, least)], most)


A, B, C = block("a", 2, 4, 0), block("b", 2, 9, 2), block("c", 1, 3, 1)


def test_what_each_needs_comes_before_what_it_could_use() -> None:
    assert shared_out([A, B, C], 5, 0) == [2, 2, 1]


def test_where_there_is_no_room_for_all_the_last_in_rank_is_left_out() -> None:
    assert shared_out([A, B, C], 4, 0) == [3, 0, 1]


def test_what_is_left_is_shared_evenly() -> None:
    assert shared_out([A, B, C], 8, 0) == [3, 3, 2]
    assert shared_out([A, B, C], 100, 0) == [4, 9, 3]


def test_more_rows_may_matter_less_than_another_block() -> None:
    greedy = Block(lambda rows: [text("g")] * rows, [Need(0, 2), Need(3, 6)], 9)
    assert shared_out([greedy, B, C], 5, 0) == [2, 2, 1]
    assert shared_out([greedy, B, C], 8, 0) == [5, 2, 1]
    assert shared_out([greedy, B, C], 12, 0) == [7, 3, 2]
    assert shared_out([greedy], 1, 0) == [0]


def test_lines_between_blocks_take_their_rows() -> None:
    lines = [line.plain for line in stacked([A, B, C], SPACIOUS, gap_in(SPACIOUS))]
    assert lines == [*"aaaa", "", *"bbbbbbbbb", "", *"ccc"]
    assert [line.plain for line in stacked([A, B, C], 6, gap_in(6))] == [*"aaa", *"bb", "c"]


def test_an_empty_block_leaves_no_trace() -> None:
    lines = stacked([A, block("x", 1, 0, 0), C], SPACIOUS, 1)
    assert [line.plain for line in lines] == [*"aaaa", "", *"ccc"]


def test_fixed_lines_are_shown_as_far_as_the_height_goes() -> None:
    head = [text("1"), text("2"), text("3")]
    for height, shown in (0, ""), (2, "12"), (3, "123"), (9, "123"):
        lines = stacked([fixed(head, height), block("x", 9, 9, 1)], height, 0)
        assert "".join(line.plain for line in lines) == shown


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9), st.integers(0, 5)), max_size=6),
    st.integers(-1, 40),
)
def test_never_higher_than_the_window(sizes: list[tuple[int, int, int]], height: int) -> None:
    blocks = [block("x", least, most, rank) for least, most, rank in sizes]
    for gap in 0, 1:
        assert len(stacked(blocks, height, gap)) <= max(height, 0)
