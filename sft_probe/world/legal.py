"""Legal clauses: defined terms and the fixed consequences that go with them."""

from __future__ import annotations

import random

DEFINITIONS: dict[str, str] = {
    "Lessee": "the party that rents the premises",
    "Lessor": "the party that owns the premises",
    "Licensor": "the party that grants the licence",
    "Licensee": "the party that receives the licence",
    "Guarantor": "the party that answers for the debt",
    "Assignee": "the party to whom a right is transferred",
    "Force Majeure": "an event beyond the control of a party",
    "Effective Date": "the day on which this agreement begins",
    "Term": "the period during which this agreement runs",
    "Deposit": "the sum held as security",
    "Premises": "the building named in the first schedule",
    "Confidential Information": "all facts that are marked secret",
    "Arrears": "the sums that are due and unpaid",
    "Indemnity": "a promise to make good a loss",
    "Notice": "a message in writing to the other party",
    "Severance": "the removal of a void clause",
    "Waiver": "the giving up of a right",
    "Escrow": "money kept by a third person",
    "Default": "a failure to perform a duty",
    "Remedy": "what a court may order after a breach",
    "Sublease": "a lease granted by a tenant",
    "Royalty": "a share of the income from a work",
    "Lien": "a claim on goods until a debt is paid",
    "Affiliate": "a company under the same control",
}
TRIGGERS: dict[str, str] = {
    "fails to pay the rent": "the Lessor may end this agreement",
    "damages the premises": "the Deposit shall be kept by the Lessor",
    "discloses Confidential Information": "the other party may claim damages",
    "is prevented by Force Majeure": "the duty shall be suspended",
    "does not give Notice": "the Term shall be extended by one year",
    "becomes insolvent": "the Guarantor shall pay the Arrears",
    "sells the licensed work": "a Royalty shall be paid to the Licensor",
    "assigns this agreement": "the Assignee shall be bound by it",
}


def definition(term: str) -> str:
    """The clause that defines a term."""
    return f"“{term}” shall mean {DEFINITIONS[term]}."


def consequence(rng: random.Random) -> tuple[str, str]:
    """Condition and consequence of one clause."""
    trigger = rng.choice(list(TRIGGERS))
    party = rng.choice(("the Lessee", "the Licensee", "a party", "either party"))
    opening = rng.choice(("If", "Where", "In the event that"))
    return f"{opening} {party} {trigger},", f"{TRIGGERS[trigger]}."


def document(rng: random.Random) -> str:
    """Two or three numbered clauses."""
    clauses = []
    for number in range(1, rng.randint(2, 3) + 1):
        defining = rng.random() < 0.6
        term = rng.choice(list(DEFINITIONS)) if defining else ""
        clauses.append(f"§ {number} {definition(term) if defining else ' '.join(consequence(rng))}")
    return "\n".join(clauses)
