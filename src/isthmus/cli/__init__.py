"""The `isthmus` command: one file per noun; it draws and parses, and holds no logic."""
