"""`python -m analyses.memorisation`."""

from analyses.memorisation.run import main

raise SystemExit(main())
