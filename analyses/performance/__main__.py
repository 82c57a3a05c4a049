"""`python -m analyses.performance`."""

from analyses.performance.run import main

raise SystemExit(main())
