"""Effects of known size: what is planted, at which dose, and which number should follow it."""

from sft_probe.calibration.plants.base import Plant, Reading

PLANTS: tuple[Plant, ...] = ()

__all__ = ["PLANTS", "Plant", "Reading"]
