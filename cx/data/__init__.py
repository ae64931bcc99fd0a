"""Data of previews: goldens made from sources, masked on the way; clones made from goldens."""
