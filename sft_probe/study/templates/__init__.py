"""Study files that ship with the package."""

from __future__ import annotations

from importlib import resources

from sft_probe.errors import SpecError, nearest


def template_names() -> tuple[str, ...]:
    """Names of the study files that ship with the package."""
    files = resources.files(__package__).iterdir()
    return tuple(sorted(file.name.removesuffix(".yaml") for file in files if file.name.endswith(".yaml")))


def read_template(name: str) -> str:
    """The commented text of one of them. Raises: SpecError with the nearest known name."""
    if name not in template_names():
        raise SpecError(f"there is no template '{name}'.", remedy=nearest(name, template_names()))
    return (resources.files(__package__) / f"{name}.yaml").read_text(encoding="utf-8")
