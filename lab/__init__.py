"""What is not the product: benchmarks, sample data, damage, simulated worlds.

The commands and tests that need it import it; nothing that is deployed does.
"""
