"""What the services of a tier read, and who they are in Keystone: for the lab and for a build."""
