"""What `bcca explain --review` shows: a reviewer's questions, each answered or said to be open."""

from collections.abc import Sequence

from bcca_node.cli.screen import say
from bcca_node.packmaker.questions import Answer
from bcca_node.packmaker.recalled import Recalled


def print_review(answers: Sequence[Answer]) -> None:
    """Print each question, what the evidence says of it, and what would be needed for the rest."""
    for number, each in enumerate(answers, start=1):
        say(f"{number}. {each.question} [{each.verdict}]", *(f"   {words}" for words in each.words))
        if each.needed:
            say(f"   needed: {each.needed}")


def as_json(recalled: Recalled, answers: Sequence[Answer]) -> dict[str, object]:
    """Return the same for programs."""
    return {
        "product": recalled.report.product,
        "commitment": recalled.commitment,
        "questions": [
            {
                "question": each.question,
                "verdict": each.verdict,
                "answer": list(each.words),
                "needed": each.needed or None,
            }
            for each in answers
        ],
    }
