"""Operators modelled on real bugs of compilers, converters and runtimes."""
