"""`python -m analyses.regularisers`."""

from analyses.regularisers.run import main

raise SystemExit(main())
