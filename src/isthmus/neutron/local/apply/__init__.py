"""What it takes to make an object of whatever type as central has it."""
