"""What boot services, network boot programs and installers read. All of it is text, made purely."""
