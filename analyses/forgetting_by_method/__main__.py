"""`python -m analyses.forgetting_by_method`."""

from analyses.forgetting_by_method.run import main

raise SystemExit(main())
