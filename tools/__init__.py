"""What measures, breaks, starts and tries the program: behind the commands in scripts/, and for the tests."""
