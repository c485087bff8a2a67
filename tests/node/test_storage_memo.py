"""Pages are kept for one state of the database, the last ones asked for, in a bounded room."""

from dataclasses import dataclass

from bcca_node.storage.memo import Pages

EACH = 16_384  # bytes: what every page counts
LARGE = 25  # bytes of a page: four of them are what the room holds


@dataclass(frozen=True)
class Page:
    content: bytes


class Shelf:
    """Tells whether a page was read, or was at hand."""

    def __init__(self) -> None:
        self.pages = Pages(4 * (EACH + LARGE))
        self.read: list[str] = []

    def ask(self, changes: int | None, name: str, size: int = LARGE) -> Page:
        def read() -> Page:
            self.read.append(name)
            return Page(name.encode() * size)

        return self.pages.get(changes, name, Page, read)


def test_a_page_is_read_once_until_somebody_commits() -> None:
    shelf = Shelf()

    first = shelf.ask(1, "a")

    assert shelf.ask(1, "a") is first
    assert shelf.ask(2, "a") == first
    assert shelf.read == ["a", "a"]


def test_without_a_count_of_changes_nothing_is_kept() -> None:
    shelf = Shelf()

    shelf.ask(None, "a")
    shelf.ask(None, "a")

    assert shelf.read == ["a", "a"]


def test_what_was_asked_for_longest_ago_makes_room() -> None:
    shelf = Shelf()
    for name in ("a", "b", "c", "d", "a", "e"):
        shelf.ask(1, name)

    shelf.ask(1, "a")
    shelf.ask(1, "b")

    assert shelf.read == ["a", "b", "c", "d", "e", "b"]


def test_a_page_that_would_push_out_the_others_is_not_kept() -> None:
    shelf = Shelf()
    shelf.ask(1, "a")

    for _ in range(2):
        shelf.ask(1, "huge", LARGE + 1)
    shelf.ask(1, "a")

    assert shelf.read == ["a", "huge", "huge"]


def test_an_attack_thousands_of_empty_pages_push_each_other_out() -> None:
    shelf = Shelf()
    for number in range(1_000):
        shelf.ask(1, f"nothing {number}", 0)

    shelf.ask(1, "nothing 0", 0)
    shelf.ask(1, "nothing 999", 0)

    assert shelf.read[-2:] == ["nothing 999", "nothing 0"]
