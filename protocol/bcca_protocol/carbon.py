"""Carbon and carbon dioxide, 44/12: what of one footprint is told twice must agree (SPEC 7.5)."""

from decimal import Decimal

from bcca_protocol.quantity import exact, plain

CO2, C = 44, 12  # g per mole, as ISO 14067 and PACT take them


def co2_of(kg_carbon: Decimal) -> Decimal:
    """Return kg CO2 that so many kg of carbon make."""
    with exact():
        return kg_carbon * CO2 / C


def uptake_of(kg_biogenic_carbon: Decimal) -> Decimal:
    """Return the biogenic uptake in kg CO2, never above zero, that is bound in a product."""
    with exact():
        return -co2_of(kg_biogenic_carbon)


def differs(what: str, printed: Decimal, computed: Decimal) -> str | None:
    """Return one sentence where what is printed is not what is computed, else None.

    Within half a unit of the last printed digit they agree. A warning, never a refusal: published
    examples of PACT themselves agree to two decimals only.
    """
    with exact():
        half = Decimal(5).scaleb(int(printed.as_tuple().exponent) - 1)
        if abs(printed - computed) <= half:
            return None
        return f"printed as {plain(printed)}, where {what} gives {plain(computed)}"
