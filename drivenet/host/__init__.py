"""The machine: its processor and its GPU, asked before any library that computes is imported."""
