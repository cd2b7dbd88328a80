"""What a caller may choose, and the files, target and configuration that follow from it. For everything above it."""
