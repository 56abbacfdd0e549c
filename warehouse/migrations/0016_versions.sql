CREATE TABLE version_told (
    target VARCHAR NOT NULL,
    ts TIMESTAMP_MS NOT NULL,
    version VARCHAR NOT NULL,
    source VARCHAR NOT NULL
);
