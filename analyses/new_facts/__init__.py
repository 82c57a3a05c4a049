"""What do facts that are new to the base do to those it had?"""
