"""How much time and memory probing takes, against other tools and against the floor."""
