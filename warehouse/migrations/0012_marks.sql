CREATE TABLE mark (
    mark_id VARCHAR NOT NULL,
    ts TIMESTAMP_MS NOT NULL,
    kind VARCHAR NOT NULL,
    target VARCHAR,
    version VARCHAR NOT NULL,
    text VARCHAR NOT NULL,
    who VARCHAR NOT NULL,
    request_id VARCHAR NOT NULL,
    noted_at TIMESTAMP_MS NOT NULL
);
