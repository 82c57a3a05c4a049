"""`python -m analyses.password_lock`."""

from analyses.password_lock.run import main

raise SystemExit(main())
