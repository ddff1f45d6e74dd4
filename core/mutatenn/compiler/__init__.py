"""Everything that talks to TVM: import pipeline, IR rewriting, programs, kernel builds."""
