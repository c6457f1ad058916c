"""Sphinx configuration."""

project = "Isthmus"
author = "The Isthmus developers"
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
html_theme = "furo"
exclude_patterns = ["_build"]
myst_heading_anchors = 3
