"""A campaign from its file to its verdicts: configuration, plan, gate, execution, judgement, store."""
