"""Analysis suites: one folder per question, with prediction and pass rule written before the run."""
