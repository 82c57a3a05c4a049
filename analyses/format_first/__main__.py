"""`python -m analyses.format_first`."""

from analyses.format_first.run import main

raise SystemExit(main())
