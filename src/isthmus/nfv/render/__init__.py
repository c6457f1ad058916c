"""From a plan to the files, commands and scripts that make it so."""
