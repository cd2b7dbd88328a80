"""The tests mirror the modules; each test's docstring is the rule that it proves."""
