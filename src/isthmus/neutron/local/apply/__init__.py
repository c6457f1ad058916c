"""Steps of creating an object as central has it, of any type."""
