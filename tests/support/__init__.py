"""What the tests stand on: the rules of a run and the real things a test can ask for."""
