"""Sphinx configuration."""

project = "Isthmus"
author = "The Isthmus developers"
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
html_theme = "furo"
exclude_patterns = ["_build"]
myst_heading_anchors = 3
# Mermaid is drawn where the page is read on the web; here it stays as text.
suppress_warnings = ["misc.highlighting_failure"]
