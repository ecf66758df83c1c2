-- Any other table: as its first rows are.
CREATE TABLE IF NOT EXISTS `{target}`{partition} AS SELECT * FROM `{staging}` WHERE FALSE
