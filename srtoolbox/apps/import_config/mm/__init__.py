"""Configs of MMEditing (0.x) and MMagic (1.x): Python, evaluated as data."""
