"""`python -m analyses.where_it_lives`."""

from analyses.where_it_lives.run import main

raise SystemExit(main())
