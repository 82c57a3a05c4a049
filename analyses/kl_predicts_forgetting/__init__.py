"""Does forward KL on the new task foretell forgetting better than other numbers of a run?"""
