"""`python -m analyses.real_model`."""

from analyses.real_model.run import main

raise SystemExit(main())
