"""A PACT footprint as another node writes it, with whatever is to be wrong with it."""

import json
from typing import Any

from bcca_protocol.period import Span

CELL = "urn:pact:cells.example:supplier-id:C1"
LEI = "urn:lei:5493001KJTIIGC8Y1R12"
ID = "8f0f2d0e-6d0c-5d3d-9f3e-0c7c3f0a9b11"
YEAR = Span("2025-01-01T00:00:00Z", "2026-01-01T00:00:00Z")


def written(pf_id: str = ID, **pcf: Any) -> bytes:
    """Write a footprint of 14.20 kg CO2e per kg; `pcf` has other fields, None leaves one out."""
    top = {name: pcf.pop(name) for name in list(pcf) if name in _TOP}
    values = {
        "declaredUnitOfMeasurement": "kilogram", "declaredUnitAmount": "1",
        "productMassPerDeclaredUnit": "1",
        "referencePeriodStart": YEAR.start, "referencePeriodEnd": YEAR.end,
        "geographyCountry": "CN", "pcfExcludingBiogenicUptake": "14.20",
        "pcfIncludingBiogenicUptake": "14.20", "fossilGhgEmissions": "14.20",
        "fossilCarbonContent": "0.11", "ipccCharacterizationFactors": ["AR6"],
        "crossSectoralStandards": ["PACT-3.0"], "exemptedEmissionsPercent": "0", **pcf,
    }  # fmt: skip
    body = {
        "id": pf_id, "specVersion": "3.0.3", "created": "2026-02-01T08:00:00Z",
        "status": "Active", "companyName": "Cells AG", "companyIds": [LEI],
        "productDescription": "", "productIds": [CELL], "productNameCompany": "Cell 1", **top,
        "pcf": {name: value for name, value in values.items() if value is not None},
    }  # fmt: skip
    return json.dumps({name: value for name, value in body.items() if value is not None}).encode()


def totals(kg: str) -> dict[str, str]:
    """State both totals, which are one where nothing is taken up."""
    return {"pcfExcludingBiogenicUptake": kg, "pcfIncludingBiogenicUptake": kg}


_TOP = frozenset(
    {
        "companyIds", "productIds", "validityPeriodEnd", "status", "precedingPfIds", "created",
        "specVersion", "companyName",
    }
)  # fmt: skip
