"""The instruments: one built-in probe per file, named as its entry point."""

STANDARD = ("task_alignment", "format_adherence", "token_shift", "representation_drift", "weight_change")
"""What is looked at where nobody says: nothing that needs data or time of its own."""
