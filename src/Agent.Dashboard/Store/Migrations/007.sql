-- Version 7. Quarters of an hour, each put together from its minutes when it is over, so that weeks are read at a fifteenth of the work. The key is that of
-- its first minute. A quarter of which a minute changes is deleted until it is put together again: one that is here says what its minutes say.
CREATE TABLE quarter (
  key INTEGER PRIMARY KEY,
  layout INTEGER NOT NULL,
  samples INTEGER NOT NULL,
  figures BLOB NOT NULL,
  verdicts BLOB,
  details BLOB
) STRICT;
