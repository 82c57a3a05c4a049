"""`python -m analyses.shallow_alignment`."""

from analyses.shallow_alignment.run import main

raise SystemExit(main())
