"""`python -m analyses.gain_waterfall`."""

from analyses.gain_waterfall.run import main

raise SystemExit(main())
