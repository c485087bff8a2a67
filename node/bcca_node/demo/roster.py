"""Who takes part in a case: its companies and who sells to whom."""

from bcca_node.demo.network import Seat
from bcca_node.supplier.case_rows import Company
from bcca_node.supplier.cases import Case


def seats_of(case: Case) -> list[Seat]:
    """Return a seat per company, or per process where the case names none, and who sells to it."""
    makers = {each: company_of(case, each).id for each in case.processes}
    suppliers: dict[str, set[str]] = {maker: set() for maker in makers.values()}
    for row in case.rows:
        if row.flow_type == "process":
            suppliers[makers[row.process_id]].add(makers[row.input_id])
    names = {company_of(case, each).id: company_of(case, each).name for each in case.processes}
    return [
        Seat(id=maker, name=names[maker], suppliers=frozenset(sold - {maker}))
        for maker, sold in suppliers.items()
    ]


def company_of(case: Case, process_id: str) -> Company:
    """Return who runs a process: itself, where the case names no companies."""
    if case.companies is not None:
        return case.companies[process_id]
    return Company(id=process_id, name=case.processes[process_id].name)
