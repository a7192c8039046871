"""A student's evidence, edited: saved, completed, with files added and taken away."""
