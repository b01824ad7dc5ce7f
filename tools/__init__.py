"""Tools that measure, break, start and test the program: the code behind scripts/, and code for the tests."""
