import dataclasses
from collections.abc import Iterable, Sequence
from decimal import Decimal
from itertools import combinations, product
from typing import Any

import pytest

from bcca_protocol.components import components
from bcca_protocol.graph import Term

Arrows = Sequence[tuple[int, int]]  # from consumer to supplier
DEEP = 20_000


def wired(chain: Any, size: int, arrows: Arrows) -> Any:
    """Return a graph of `size` parts in which each arrow is an input of amount 1."""
    inputs: list[list[Term]] = [[] for _ in range(size)]
    for consumer, supplier in arrows:
        line = len(inputs[consumer])
        inputs[consumer].append(Term(line, supplier, Decimal(1), Decimal(1), "keep"))
    return chain.wired(inputs)


def upstream(size: int, arrows: Arrows) -> list[set[int]]:
    """Return what each part reaches, itself included, by the plainest way there is."""
    reach = [{i} for i in range(size)]
    for middle, i in product(range(size), repeat=2):
        for consumer, supplier in arrows:
            if consumer in reach[i]:
                reach[i].add(supplier)
        if middle in reach[i]:
            reach[i] |= reach[middle]
    return reach


def require_in_order(found: Sequence[Sequence[int]], size: int, arrows: Arrows) -> None:
    reach = upstream(size, arrows)
    place = {part: n for n, component in enumerate(found) for part in component}

    assert sorted(place) == list(range(size))
    for one, other in product(range(size), repeat=2):
        together = other in reach[one] and one in reach[other]
        assert (place[one] == place[other]) is together
        if other in reach[one] and not together:
            assert place[other] < place[one]


def subsets(pairs: Sequence[tuple[int, int]]) -> Iterable[Arrows]:
    return (chosen for n in range(len(pairs) + 1) for chosen in combinations(pairs, n))


@pytest.mark.parametrize(("size", "to_itself"), [(1, True), (2, True), (3, True), (4, False)])
def test_every_small_graph_is_taken_in_order(chain: Any, size: int, to_itself: bool) -> None:
    numbers = range(size)
    pairs = [(i, j) for i in numbers for j in numbers if to_itself or i != j]
    bare = wired(chain, size, [])
    to = [Term(0, j, Decimal(1), Decimal(1), "keep") for j in numbers]
    for arrows in subsets(pairs):
        inputs = tuple(tuple(to[j] for i, j in arrows if i == part) for part in numbers)
        graph = dataclasses.replace(bare, terms=inputs)

        require_in_order(list(components(graph, numbers)), size, arrows)


def test_only_what_is_under_the_roots_is_taken(chain: Any) -> None:
    graph = wired(chain, 5, [(0, 1), (1, 2), (3, 2), (3, 4)])

    assert list(components(graph, [1])) == [(2,), (1,)]
    assert list(components(graph, [3, 1])) == [(2,), (4,), (3,), (1,)]
    assert list(components(graph, [2, 2])) == [(2,)]
    assert list(components(graph, [])) == []


def test_inputs_are_followed_as_written(chain: Any) -> None:
    assert list(components(wired(chain, 3, [(0, 2), (0, 1)]), [0])) == [(2,), (1,), (0,)]
    assert list(components(wired(chain, 3, [(0, 1), (0, 2)]), [0])) == [(1,), (2,), (0,)]


def test_inside_a_component_parts_go_by_number(chain: Any) -> None:
    assert list(components(wired(chain, 4, [(2, 3), (3, 0), (0, 2), (0, 1)]), [3])) == [
        (1,), (0, 2, 3)
    ]  # fmt: skip


def test_two_loops_that_share_a_part_are_one_component(chain: Any) -> None:
    arrows = [(0, 1), (1, 0), (0, 2), (2, 0)]

    assert list(components(wired(chain, 3, arrows), [0])) == [(0, 1, 2)]


def test_two_loops_with_a_one_way_street_between_them_are_two(chain: Any) -> None:
    arrows = [(0, 1), (1, 0), (1, 2), (2, 3), (3, 2)]

    assert list(components(wired(chain, 4, arrows), [0])) == [(2, 3), (0, 1)]


@pytest.mark.parametrize("closed", [False, True], ids=["a chain", "a ring"])
def test_twenty_thousand_tiers_need_no_stack(chain: Any, closed: bool) -> None:
    arrows = [(i, i + 1) for i in range(DEEP - 1)] + [(DEEP - 1, 0)] * closed
    found = list(components(wired(chain, DEEP, arrows), range(DEEP)))

    whole = tuple(range(DEEP))
    assert found == ([whole] if closed else [(i,) for i in reversed(whole)])
