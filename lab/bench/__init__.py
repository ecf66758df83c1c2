"""Benchmarks anyone can run: `lead-scoring bench NAME`. Each prints ratios measured within one run."""
