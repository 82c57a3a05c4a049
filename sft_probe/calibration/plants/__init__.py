"""Effects of known size: what is planted, at which dose, and which number should follow it."""

from sft_probe.calibration.plants.base import Plant, Reading
from sft_probe.calibration.plants.behaviour import BEHAVIOUR
from sft_probe.calibration.plants.course import COURSE
from sft_probe.calibration.plants.knowledge import KNOWLEDGE
from sft_probe.calibration.plants.labels import LABELS

PLANTS: tuple[Plant, ...] = (*LABELS, *KNOWLEDGE, *BEHAVIOUR, *COURSE)

__all__ = ["PLANTS", "Plant", "Reading"]
