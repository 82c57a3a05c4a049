"""Which method forgets least at the same learning?"""
