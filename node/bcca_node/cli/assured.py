"""What third parties say of a run's statements: for people and for programs (SPEC 8.4)."""

from bcca_node.cli.screen import say
from bcca_node.packmaker.run import Run
from bcca_protocol import shares


def print_assured(run: Run) -> None:
    """Print each opinion, whether it counts, and how much of the result is under assurance."""
    if not run.sum.weighed:
        return
    say("Opinions of verifiers that the policy lists:")
    for each in run.sum.weighed:
        say(f"  {'adverse: ' if each.is_adverse else ''}{each.tell()}")
    found = shares.shares(run.statement.weights)
    say(
        f"  {found.limited:.1f} % of the result, gross, is under limited assurance, "
        f"{found.reasonable:.1f} % under reasonable"
    )


def as_json(run: Run) -> dict[str, object]:
    """Return the same as members of a JSON document."""
    weights = run.statement.weights
    return {
        "opinions": [
            {
                "commitment": each.opinion.commitment,
                "verifier": each.opinion.issuer,
                "statement": each.statement,
                "conclusion": each.opinion.statement.conclusion,
                "level": each.opinion.statement.level,
                "covers": each.opinion.statement.covers,
                "counts": not each.why_not,
                "whyNot": each.why_not,
            }
            for each in run.sum.weighed
        ],
        "assured": {"limited": weights.limited, "reasonable": weights.reasonable},
    }
