"""`python -m analyses.statistics`."""

from analyses.statistics.run import main

raise SystemExit(main())
