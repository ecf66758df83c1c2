-- The rows of one partition, swapped in one step: a reader sees the old ones or the new ones.
BEGIN TRANSACTION;
DELETE FROM `{target}` WHERE {key} = @part;
INSERT INTO `{target}` ({names}) SELECT {names} FROM `{staging}`;
COMMIT TRANSACTION;
