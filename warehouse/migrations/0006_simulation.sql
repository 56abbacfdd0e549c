CREATE TABLE simulation (
    seed BIGINT NOT NULL,
    from_ts TIMESTAMP_MS NOT NULL,
    until_ts TIMESTAMP_MS NOT NULL,
    attempts BIGINT NOT NULL,
    made_at TIMESTAMP_MS NOT NULL,
    perfhouse_version VARCHAR NOT NULL
);

CREATE TABLE simulated_change (
    ts TIMESTAMP_MS NOT NULL,
    until_ts TIMESTAMP_MS,
    kind VARCHAR NOT NULL,
    target VARCHAR NOT NULL,
    object VARCHAR NOT NULL,
    factor DOUBLE NOT NULL,
    text VARCHAR NOT NULL
);
