"""What a tier runs: its programs and their files, its users and catalogue, its databases."""
