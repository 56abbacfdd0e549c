CREATE TABLE baseline (
    baseline_id VARCHAR NOT NULL,
    target VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    start_ts TIMESTAMP_MS,
    until_ts TIMESTAMP_MS,
    is_active BOOLEAN NOT NULL,
    text VARCHAR NOT NULL,
    who VARCHAR NOT NULL,
    request_id VARCHAR NOT NULL,
    pinned_at TIMESTAMP_MS NOT NULL
);

CREATE TABLE baseline_run (
    baseline_id VARCHAR NOT NULL,
    run_id VARCHAR NOT NULL,
    was_pinned BOOLEAN NOT NULL
);

CREATE TABLE baseline_level (
    baseline_id VARCHAR NOT NULL,
    endpoint VARCHAR NOT NULL,
    percent UTINYINT NOT NULL,
    level_us UINTEGER,
    low_us UINTEGER,
    high_us UINTEGER,
    is_above BOOLEAN,
    n UINTEGER NOT NULL
);

CREATE TABLE baseline_attempt AS FROM attempt WHERE false;
