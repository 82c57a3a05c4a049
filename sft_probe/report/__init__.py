"""Turn a store into one self-contained page, Markdown, JSON, figures and tables. Reads only the store."""

from sft_probe.report.build import ReportPaths, build_report

__all__ = ["ReportPaths", "build_report"]
