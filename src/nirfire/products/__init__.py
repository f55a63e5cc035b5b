"""What is on disk: file names, typed products, atomic writes."""
