"""Recipes for the models that stancelib ships: one module a step, each run by ``python -m training.<step>``."""
