"""From evidence to verdicts: which goals were missed, and what each probe is worth on this model.

The goals were written down before anything was measured: every test rejects a null in at most 6 % of cases, every planted
effect is detected at its middle dose with power 0.8, the planted dose is recovered to 10 % above the limit of detection,
nothing reacts beside the diagonal without an explanation, and every broken twin is caught.

- not calibrated: the probe reads no planted effect, or detects none of them at any dose; or its false positives are too many
  beyond doubt (the Clopper-Pearson interval lies above 6 %); or no broken twin of it was tested, or one passed for it.
- weak: any other goal missed, or fewer than 20 null tests (which cannot bound the rate below 14 %).
- calibrated: everything met.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sft_probe.calibration.certificate import Certificate, Evidence, Judged, Miss, Null, Response, Verdict

SIZE = 0.06
POWER = 0.8
BIAS = 0.10
FEWEST_NULLS = 20


def certify(evidence: Evidence) -> Certificate:
    """The certificate of what was measured."""
    missed = tuple(_missed(evidence))
    verdicts = tuple(_judge(probe, evidence, missed) for probe in evidence.probes)
    return Certificate(
        **{name: getattr(evidence, name) for name in Evidence.model_fields}, verdicts=verdicts, missed=missed
    )


def gates(certificate: Certificate, probes: Iterable[str]) -> tuple[str, ...]:
    """What keeps the named probes from passing as gate: one sentence each for probes that are not calibrated."""
    judged = ((probe, certificate.of(probe)) for probe in probes)
    return tuple(
        f"{probe} is not calibrated: {' '.join(found.reasons) if found else 'It was not tested.'}"
        for probe, found in judged
        if found is None or found.verdict == "not calibrated"
    )


def _missed(evidence: Evidence) -> Iterator[Miss]:
    yield from _size(evidence)
    yield from _power(evidence)
    yield from _recovery(evidence)
    yield from _specificity(evidence)
    yield from _mutants(evidence)


def pooled(nulls: Iterable[Null]) -> dict[tuple[str, str], tuple[int, int]]:
    """(probe, level) -> tests, rejected."""
    counts: dict[tuple[str, str], tuple[int, int]] = {}
    for null in nulls:
        n, rejected = counts.get((null.probe, null.level), (0, 0))
        counts[null.probe, null.level] = (n + null.n, rejected + null.rejected)
    return counts


def _size(evidence: Evidence) -> Iterator[Miss]:
    for null in evidence.nulls:
        if null.n and null.rate is not None and null.rate > SIZE:
            yield Miss(
                goal="size",
                probe=null.probe,
                detail=f"{null.kind}, {null.level}",
                measured=null.rate,
                wanted=SIZE,
                n=null.n,
                sentence=(
                    f"{null.probe} rejects {null.rejected} of {null.n} true nulls "
                    f"({null.kind.replace('_', ' ')}, {null.level} level): {null.rate:.1%}, "
                    f"{_range(null.low, null.high)}, where at most {SIZE:.0%} is wanted."
                ),
            )


def _power(evidence: Evidence) -> Iterator[Miss]:
    for response in evidence.responses:
        power = response.power_middle
        if power is None or power < POWER:
            found = "undefined" if power is None else f"{power:.2f}"
            yield Miss(
                goal="power",
                probe=response.probe,
                plant=response.plant,
                detail=response.metric,
                measured=power,
                wanted=POWER,
                n=sum(value is not None for row in response.values for value in row),
                sentence=(
                    f"{response.probe} detects {response.plant} at the middle dose {response.middle:g} with power {found} "
                    f"({response.metric}), where {POWER:g} is wanted; {_limit(response)}."
                ),
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
                n=recovery.n,
                sentence=(
                    f"{response.probe} recovers the dose of {response.plant} with a bias of {recovery.bias:+.0%} "
                    f"({response.metric}, {recovery.n} runs), where {BIAS:.0%} is allowed."
                ),
            )


def _specificity(evidence: Evidence) -> Iterator[Miss]:
    for cell in evidence.reactions:
        if cell.inside is False and not cell.target and not cell.explained and cell.z is not None:
            yield Miss(
                goal="specificity",
                probe=cell.probe,
                plant=cell.plant,
                detail=cell.metric,
                measured=cell.z,
                wanted=cell.limit,
                n=cell.n,
                sentence=(
                    f"{cell.probe} reacts to {cell.plant}, which it does not claim to read: {cell.metric} lies {cell.z:+.1f} "
                    f"null standard deviations away, and nothing explains it."
                ),
            )


def _mutants(evidence: Evidence) -> Iterator[Miss]:
    tested = {mutant.probe for mutant in evidence.mutants}
    for mutant in evidence.mutants:
        if not mutant.caught:
            yield Miss(
                goal="mutants",
                probe=mutant.probe,
                detail=mutant.name,
                measured=mutant.twin_value,
                sentence=f"The broken twin '{mutant.name}' of {mutant.probe} passes for it. {mutant.broken}",
            )
    for probe in evidence.probes:
        if probe not in tested:
            yield Miss(goal="mutants", probe=probe, sentence=f"No broken twin of {probe} was tested.")
    read = {response.probe for response in evidence.responses}
    for probe in evidence.probes:
        if probe not in read:
            yield Miss(
                goal="untested",
                probe=probe,
                sentence=f"No planted effect with a known dose is read by {probe}.",
            )


def _judge(probe: str, evidence: Evidence, missed: tuple[Miss, ...]) -> Judged:
    """The worst that holds, with its reasons."""
    own = [miss for miss in missed if miss.probe == probe]
    worst = [miss.sentence for miss in own if miss.goal in ("mutants", "untested")]
    responses = [response for response in evidence.responses if response.probe == probe]
    if responses and all(response.lod is None for response in responses):
        worst.append(f"{probe} detects none of its planted effects at any dose tested.")
    nulls = [null for null in evidence.nulls if null.probe == probe]
    worst += [
        f"{probe} rejects more than {SIZE:.0%} of true nulls beyond doubt ({null.kind.replace('_', ' ')})."
        for null in nulls
        if null.low is not None and null.low > SIZE
    ]
    weaker = [miss.sentence for miss in own if miss.goal not in ("mutants", "untested")]
    tests = sum(null.n for null in nulls)
    if tests < FEWEST_NULLS:
        weaker.append(
            f"{probe} was put to {tests} null tests; fewer than {FEWEST_NULLS} cannot bound its false positives."
        )
    verdict: Verdict = "not calibrated" if worst else "weak" if weaker else "calibrated"
    return Judged(probe=probe, verdict=verdict, reasons=tuple(dict.fromkeys(worst + weaker)))


def _limit(response: Response) -> str:
    if response.lod is None:
        return f"no dose up to {response.doses[-1]:g} reaches it"
    return f"the limit of detection is {response.lod:g}"


def _range(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return "without an interval"
    return f"95 % interval {low:.1%} to {high:.1%}"
