"""One mutant, looked at closely."""
