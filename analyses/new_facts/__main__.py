"""`python -m analyses.new_facts`."""

from analyses.new_facts.run import main

raise SystemExit(main())
