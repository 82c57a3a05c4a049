"""Effects of known size: what is planted, at which dose, and which number should follow it."""

from sft_probe.calibration.plants.base import Plant, Reading
from sft_probe.calibration.plants.labels import LABELS

PLANTS: tuple[Plant, ...] = (*LABELS,)

__all__ = ["PLANTS", "Plant", "Reading"]
