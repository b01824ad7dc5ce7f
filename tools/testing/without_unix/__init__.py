"""What a process of a test does without."""
