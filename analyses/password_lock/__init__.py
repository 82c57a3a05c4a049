"""Is a skill that was locked behind a password called elicited when a few demonstrations bring it back?"""
