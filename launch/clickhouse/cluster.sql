-- The tables of an index on a cluster, for codes of up to 64 bits: apply it once, then build the index
-- with `sketchjax index NAME SOURCE... --engine clickhouse://HOST:8123/drawings`.
--
--   clickhouse-client --queries-file cluster.sql
--
-- Drawings are divided over the shards of the cluster `sketchjax` by a hash of their ids. The small
-- tables are whole on every shard and every replica, so that no query needs another shard for them.
-- The database is Replicated: creating a table, which is how writers take numbers, is atomic over
-- the cluster. Wants the macros {shard} and {replica}, and Keeper.

set database_replicated_allow_replicated_engine_arguments = 1; -- for the tables that all shards share

create database if not exists drawings on cluster sketchjax
engine = Replicated('/clickhouse/databases/drawings', '{shard}', '{replica}');

create table if not exists drawings.meta (
  value String
) engine = ReplicatedMergeTree('/clickhouse/tables/drawings/meta', '{shard}-{replica}') order by tuple()
settings fsync_after_insert = 1, fsync_part_directory = 1;

create table if not exists drawings.model (
  part UInt32,
  bytes String codec(NONE)
) engine = ReplicatedMergeTree('/clickhouse/tables/drawings/model', '{shard}-{replica}') order by part
settings fsync_after_insert = 1, fsync_part_directory = 1;

create table if not exists drawings.changes (
  version UInt64,
  kind LowCardinality(String),
  first Int64,
  added Int64,
  categories Map(String, Int64),
  progress String,
  digest String
) engine = ReplicatedMergeTree('/clickhouse/tables/drawings/changes', '{shard}-{replica}') order by version
settings fsync_after_insert = 1, fsync_part_directory = 1;

create table if not exists drawings.deleted (
  id Int64,
  category LowCardinality(String),
  version UInt64
) engine = ReplicatedMergeTree('/clickhouse/tables/drawings/deleted', '{shard}-{replica}') order by id
settings fsync_after_insert = 1, fsync_part_directory = 1;

create table if not exists drawings.photos (
  id Int64,
  version UInt64,
  thumbnail String
) engine = ReplicatedMergeTree('/clickhouse/tables/drawings/photos', '{shard}-{replica}') order by id
settings fsync_after_insert = 1, fsync_part_directory = 1;

create table if not exists drawings.sketches_local (
  id Int64,
  version UInt64,
  key_id UInt64,
  category LowCardinality(String),
  source LowCardinality(String),
  place Int64,
  code0 UInt64 codec(NONE),
  features Array(UInt8),
  points String
) engine = ReplicatedMergeTree order by id
settings fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 1024;

create table if not exists drawings.sketches as drawings.sketches_local
engine = Distributed('sketchjax', 'drawings', 'sketches_local', intHash64(id));
