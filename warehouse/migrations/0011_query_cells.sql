ALTER TABLE query_shape ADD COLUMN is_old BOOLEAN DEFAULT FALSE;

CREATE TABLE query_stat_cell_1h (
    ts TIMESTAMP_MS NOT NULL,
    shape_id INTEGER NOT NULL,
    intervals UINTEGER NOT NULL,
    calls BIGINT NOT NULL,
    total_us DOUBLE NOT NULL,
    squares_us2 DOUBLE,
    min_us DOUBLE,
    max_us DOUBLE,
    ceiling_us DOUBLE,
    rows BIGINT,
    blocks_hit BIGINT,
    blocks_read BIGINT,
    blocks_dirtied BIGINT,
    blocks_written BIGINT,
    temp_blocks BIGINT,
    io_us DOUBLE,
    wal_bytes BIGINT,
    errors BIGINT,
    unindexed BIGINT,
    is_partial BOOLEAN NOT NULL,
    last_at TIMESTAMP_MS NOT NULL
);

CREATE TABLE query_stat_cell_1d (
    ts TIMESTAMP_MS NOT NULL,
    shape_id INTEGER NOT NULL,
    intervals UINTEGER NOT NULL,
    calls BIGINT NOT NULL,
    total_us DOUBLE NOT NULL,
    squares_us2 DOUBLE,
    min_us DOUBLE,
    max_us DOUBLE,
    ceiling_us DOUBLE,
    rows BIGINT,
    blocks_hit BIGINT,
    blocks_read BIGINT,
    blocks_dirtied BIGINT,
    blocks_written BIGINT,
    temp_blocks BIGINT,
    io_us DOUBLE,
    wal_bytes BIGINT,
    errors BIGINT,
    unindexed BIGINT,
    is_partial BOOLEAN NOT NULL,
    last_at TIMESTAMP_MS NOT NULL
);
