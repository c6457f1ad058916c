"""A cell that is added to a Nova: its database, its queue, its mapping, step by step."""
