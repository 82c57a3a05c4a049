"""An example of a package that adds to sft_probe by entry points alone."""
