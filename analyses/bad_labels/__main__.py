"""`python -m analyses.bad_labels`."""

from analyses.bad_labels.run import main

raise SystemExit(main())
