-- A table that schema.yaml defines.
CREATE TABLE IF NOT EXISTS `{target}` ({columns}){partition}{cluster} OPTIONS (description = {description})
