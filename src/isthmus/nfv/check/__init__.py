"""A live host against its plan, and against good practice."""
