"""Packed weights -> dense weights."""
