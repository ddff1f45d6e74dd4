"""Changes that must not change a result: they check the compiler."""
