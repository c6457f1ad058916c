"""The plan of a build: what will be done to which machine, in what waves, and how long it takes."""
