"""What a site alone keeps."""
