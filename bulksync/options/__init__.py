"""What a caller may choose, and the files, the target and the configuration that follow from it. For all above it."""
