"""The clients of a build: power control, what answers machines, boot services, ramdisk."""
