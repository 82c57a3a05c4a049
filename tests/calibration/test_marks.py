"""What `calibrate` writes is what a report reads."""

from pathlib import Path

from sft_probe.calibration.certificate import write_certificate
from sft_probe.calibration.verdicts import certify
from sft_probe.report.marks import VERDICTS, read_marks

from .sample import rich


def test_a_report_reads_the_verdicts_of_a_certificate(tmp_path: Path) -> None:
    certificate = certify(rich())
    write_certificate(certificate, tmp_path / "certificate.json")
    marks = read_marks(tmp_path / "certificate.json")
    assert {probe: mark.verdict for probe, mark in marks.probes.items()} == {
        judged.probe: VERDICTS[judged.verdict] for judged in certificate.verdicts
    }
    assert marks.made_on == certificate.base.parameters
