-- Partitions may come from other feature sets.
ALTER TABLE `{target}` {columns}
