"""The run of a build: events to standings, and what comes next. Deciding is pure."""
