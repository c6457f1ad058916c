"""What is missing here is fetched from central."""
