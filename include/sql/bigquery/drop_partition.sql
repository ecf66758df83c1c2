DELETE FROM `{target}` WHERE {key} = @part
