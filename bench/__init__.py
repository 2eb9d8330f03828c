"""Measuring programs: what they compare and how, in README.md."""
