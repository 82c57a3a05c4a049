"""`python -m analyses.kl_predicts_forgetting`."""

from analyses.kl_predicts_forgetting.run import main

raise SystemExit(main())
