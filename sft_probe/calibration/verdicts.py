"""From evidence to verdicts: which goals were missed, and what each probe is worth on this model.

The goals were written down before anything was measured: every test rejects a null in at most 6 % of cases,
every planted effect is detected at its middle dose with power 0.8, planted doses are recovered to 10 % above
the limit of detection, nothing reacts beside the diagonal without an explanation, every twin is caught.

- not calibrated: the probe reads no planted effect, or detects none of them at any dose; or it rejects too
  many true nulls beyond doubt (the interval lies above 6 %); or it has no broken twin, or one passed for it.
- weak: any other goal missed (among them: single runs at the null dose seem to find something), or fewer
  than 20 null tests, which cannot bound the rate below 14 %.
- calibrated: everything met.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from sft_probe.calibration.certificate import Certificate, Evidence, Judged, Miss, Null, Verdict
from sft_probe.calibration.sentences import sentence, words_in

SIZE = 0.06
POWER = 0.8
BIAS = 0.10
FEWEST_NULLS = 20
GRAVEST: tuple[Verdict, ...] = ("not calibrated", "weak", "calibrated")


def certify(evidence: Evidence) -> Certificate:
    """The certificate of what was measured; what was missed stands with the gravest first."""
    words = words_in("en")
    found = [miss for goal in _GOALS for miss in goal(evidence)]
    found.sort(key=lambda miss: GRAVEST.index(miss.verdict))
    missed = tuple(miss.model_copy(update={"sentence": sentence(miss, words)}) for miss in found)
    given = {name: getattr(evidence, name) for name in Evidence.model_fields}
    verdicts = tuple(_judge(probe, missed) for probe in evidence.probes)
    return Certificate(**given, verdicts=verdicts, missed=missed)


def gate(certificate: Certificate, probes: Iterable[str]) -> tuple[str, ...]:
    """What keeps the named probes from passing: a sentence for each that is not calibrated or not tested."""
    judged = ((probe, certificate.of(probe)) for probe in probes)
    return tuple(
        f"{probe} is not calibrated: {found.reasons[0] if found else 'it was not tested.'}"
        for probe, found in judged
        if found is None or found.verdict == "not calibrated"
    )


def pooled(nulls: Iterable[Null]) -> dict[tuple[str, str], tuple[int, int]]:
    """Null tests by probe and level: how many, and how many rejected."""
    counts: dict[tuple[str, str], tuple[int, int]] = {}
    for null in nulls:
        n, rejected = counts.get((null.probe, null.level), (0, 0))
        counts[null.probe, null.level] = (n + null.n, rejected + null.rejected)
    return counts


def _judge(probe: str, missed: Iterable[Miss]) -> Judged:
    own = [miss for miss in missed if miss.probe == probe]
    verdict = min((miss.verdict for miss in own), key=GRAVEST.index, default=GRAVEST[-1])
    return Judged(probe=probe, verdict=verdict, reasons=tuple(miss.sentence for miss in own))


def _untested(evidence: Evidence) -> Iterator[Miss]:
    """Probes that read no planted effect, or detect none."""
    for probe in evidence.probes:
        own = [response for response in evidence.responses if response.probe == probe]
        if not own:
            yield Miss(goal="untested", probe=probe, verdict="not calibrated")
        elif all(response.lod is None for response in own):
            yield Miss(goal="undetected", probe=probe, n=len(own), verdict="not calibrated")


def _mutants(evidence: Evidence) -> Iterator[Miss]:
    for mutant in evidence.mutants:
        if not mutant.caught:
            yield Miss(
                goal="mutants",
                probe=mutant.probe,
                detail=mutant.name,
                measured=mutant.twin_value,
                verdict="not calibrated",
            )
    tested = {mutant.probe for mutant in evidence.mutants}
    for probe in evidence.probes:
        if probe not in tested:
            yield Miss(goal="no_mutants", probe=probe, verdict="not calibrated")


def _size(evidence: Evidence) -> Iterator[Miss]:
    """Nulls rejected too often; beyond doubt if the interval lies above the goal.

    That the interval of a single run leaves out the null dose is a miss, but no proof against the probe: what
    chance among the rows taught this one model is not known to be nothing.
    """
    for null in evidence.nulls:
        if null.rate is not None and null.rate > SIZE:
            yield Miss(
                goal="size",
                probe=null.probe,
                detail=f"{null.kind}.{null.level}",
                measured=null.rate,
                wanted=SIZE,
                low=null.low,
                high=null.high,
                n=null.n,
                verdict="not calibrated" if _is_true(null) and null.low and null.low > SIZE else "weak",
            )
    tests = {
        probe: sum(null.n for null in evidence.nulls if null.probe == probe) for probe in evidence.probes
    }
    for probe, n in tests.items():
        if n < FEWEST_NULLS:
            yield Miss(goal="few_nulls", probe=probe, wanted=FEWEST_NULLS, n=n, verdict="weak")


def _is_true(null: Null) -> bool:
    """Whether every test of this kind is of a statement known to be true."""
    return (null.kind, null.level) != ("dose_0", "item")


def _power(evidence: Evidence) -> Iterator[Miss]:
    for response in evidence.responses:
        power = response.power_middle
        if power is None or power < POWER:
            yield Miss(
                goal="power",
                probe=response.probe,
                plant=response.plant,
                detail=response.metric,
                measured=power,
                wanted=POWER,
                low=response.lod,
                n=sum(value is not None for row in response.values for value in row),
                verdict="weak",
            )


def _recovery(evidence: Evidence) -> Iterator[Miss]:
    for response in evidence.responses:
        recovery = response.recovery
        if recovery and recovery.bias is not None and abs(recovery.bias) > BIAS:
            yield Miss(
                goal="recovery",
                probe=response.probe,
                plant=response.plant,
                detail=response.metric,
                measured=recovery.bias,
                wanted=BIAS,
                low=recovery.bias_low,
                high=recovery.bias_high,
                n=recovery.n,
                verdict="weak",
            )


def _specificity(evidence: Evidence) -> Iterator[Miss]:
    for cell in evidence.reactions:
        if cell.inside is False and not cell.target and not cell.explained:
            yield Miss(
                goal="specificity",
                probe=cell.probe,
                plant=cell.plant,
                detail=cell.metric,
                measured=cell.z,
                wanted=cell.limit,
                n=cell.n,
                verdict="weak",
            )


_GOALS: tuple[Callable[[Evidence], Iterator[Miss]], ...] = (
    _untested,
    _mutants,
    _size,
    _power,
    _recovery,
    _specificity,
)
