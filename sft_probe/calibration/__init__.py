"""The calibration certificate: every probe tested like a measuring instrument."""
