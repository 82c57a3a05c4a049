"""`python -m analyses.what_is_learned`."""

from analyses.what_is_learned.run import main

raise SystemExit(main())
