"""What a language model learns during supervised fine-tuning: what, when, where, at what cost, how sure."""

__version__ = "0.1.0"
