CREATE TABLE cold_day (
    day DATE PRIMARY KEY,
    file VARCHAR NOT NULL,
    rows BIGINT NOT NULL,
    row_hash VARCHAR NOT NULL,
    bytes BIGINT NOT NULL,
    frozen_at TIMESTAMP_MS NOT NULL
);

CREATE TABLE attempt_late AS FROM attempt WHERE false;
