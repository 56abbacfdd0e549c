CREATE SEQUENCE shape_number;

CREATE TABLE query_shape (
    shape_id INTEGER PRIMARY KEY DEFAULT nextval('shape_number'),
    target VARCHAR NOT NULL,
    database VARCHAR NOT NULL,
    shape VARCHAR NOT NULL,
    category VARCHAR NOT NULL,
    query VARCHAR,
    source VARCHAR NOT NULL,
    first_seen_at TIMESTAMP_MS NOT NULL,
    UNIQUE (target, database, shape)
);

CREATE TABLE query_stat (
    ts TIMESTAMP_MS NOT NULL,
    since_ts TIMESTAMP_MS NOT NULL,
    shape_id INTEGER NOT NULL,
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
    is_partial BOOLEAN NOT NULL
);

CREATE TABLE query_latency (
    ts TIMESTAMP_MS NOT NULL,
    since_ts TIMESTAMP_MS NOT NULL,
    target VARCHAR NOT NULL,
    database VARCHAR NOT NULL,
    method VARCHAR NOT NULL,
    low_us DOUBLE NOT NULL,
    high_us DOUBLE,
    calls BIGINT NOT NULL
);

CREATE TABLE lock_wait (
    ts TIMESTAMP_MS NOT NULL,
    target VARCHAR NOT NULL,
    database VARCHAR NOT NULL,
    waiter_pid BIGINT NOT NULL,
    waiter_user VARCHAR NOT NULL,
    waiter_application VARCHAR NOT NULL,
    waiter_shape VARCHAR,
    waited_us BIGINT,
    lock VARCHAR NOT NULL,
    mode VARCHAR NOT NULL,
    relation VARCHAR NOT NULL,
    blocker_pid BIGINT NOT NULL,
    blocker_user VARCHAR NOT NULL,
    blocker_application VARCHAR NOT NULL,
    blocker_state VARCHAR NOT NULL,
    blocker_shape VARCHAR,
    blocker_transaction_us BIGINT
);

CREATE TABLE database_state (
    ts TIMESTAMP_MS NOT NULL,
    source VARCHAR NOT NULL,
    target VARCHAR NOT NULL,
    engine VARCHAR NOT NULL,
    part VARCHAR NOT NULL,
    state VARCHAR NOT NULL,
    text VARCHAR NOT NULL
);

ALTER TABLE batch ADD COLUMN database_rows INTEGER DEFAULT 0;
