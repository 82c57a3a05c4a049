"""Of what is the gain made, for four kinds of task?"""
