-- The tables of an index on one node, for codes of up to 64 bits. `sketchjax index` makes them itself
-- in a database that exists; this file is for whoever wants to see or change them first. Longer codes
-- have more columns: code1, code2, ...

create table if not exists meta (
  value String
) engine = MergeTree order by tuple()
settings fsync_after_insert = 1, fsync_part_directory = 1;

create table if not exists model (
  part UInt32,
  bytes String codec(NONE)
) engine = MergeTree order by part
settings fsync_after_insert = 1, fsync_part_directory = 1;

create table if not exists changes (
  version UInt64,
  kind LowCardinality(String),
  first Int64,
  added Int64,
  categories Map(String, Int64),
  progress String,
  digest String
) engine = MergeTree order by version
settings fsync_after_insert = 1, fsync_part_directory = 1;

create table if not exists deleted (
  id Int64,
  category LowCardinality(String),
  version UInt64
) engine = MergeTree order by id
settings fsync_after_insert = 1, fsync_part_directory = 1;

create table if not exists photos (
  id Int64,
  version UInt64,
  thumbnail String
) engine = MergeTree order by id
settings fsync_after_insert = 1, fsync_part_directory = 1;

create table if not exists sketches (
  id Int64,
  version UInt64,
  key_id UInt64,
  category LowCardinality(String),
  source LowCardinality(String),
  place Int64,
  code0 UInt64 codec(NONE),
  features Array(UInt8),
  points String
) engine = MergeTree order by id
settings fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 1024;
