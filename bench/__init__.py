"""Bench: how fast the work is, as ratios to a peer measured in the same run."""
