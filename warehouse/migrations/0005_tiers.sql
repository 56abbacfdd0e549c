CREATE TABLE tier (
    name VARCHAR NOT NULL,
    sealing_until TIMESTAMP_MS,
    sealed_until TIMESTAMP_MS,
    raw_from TIMESTAMP_MS
);

CREATE SEQUENCE dirty_number;

CREATE TABLE dirty (
    tier VARCHAR NOT NULL,
    series_id INTEGER NOT NULL,
    hour TIMESTAMP_MS NOT NULL,
    number BIGINT NOT NULL DEFAULT nextval('dirty_number')
);

CREATE TABLE attempt_cell_5m (
    ts TIMESTAMP_MS NOT NULL,
    series_id INTEGER NOT NULL,
    attempts UINTEGER NOT NULL,
    n_ok UINTEGER NOT NULL,
    timeouts UINTEGER NOT NULL,
    sum_us UBIGINT,
    min_us UINTEGER,
    max_us UINTEGER,
    p50_us UINTEGER,
    p95_us UINTEGER,
    p99_us UINTEGER,
    above UTINYINT NOT NULL,
    last_at TIMESTAMP_MS NOT NULL,
    last_outcome outcome NOT NULL,
    last_status USMALLINT,
    histogram BLOB
);

CREATE TABLE attempt_cell_1h (
    ts TIMESTAMP_MS NOT NULL,
    series_id INTEGER NOT NULL,
    attempts UINTEGER NOT NULL,
    n_ok UINTEGER NOT NULL,
    timeouts UINTEGER NOT NULL,
    sum_us UBIGINT,
    min_us UINTEGER,
    max_us UINTEGER,
    p50_us UINTEGER,
    p95_us UINTEGER,
    p99_us UINTEGER,
    above UTINYINT NOT NULL,
    last_at TIMESTAMP_MS NOT NULL,
    last_outcome outcome NOT NULL,
    last_status USMALLINT,
    dns_n UINTEGER NOT NULL,
    dns_us UBIGINT,
    connect_us UBIGINT,
    tls_us UBIGINT,
    first_byte_us UBIGINT,
    histogram BLOB NOT NULL
);

CREATE TABLE attempt_cell_1d (
    ts TIMESTAMP_MS NOT NULL,
    series_id INTEGER NOT NULL,
    attempts UINTEGER NOT NULL,
    n_ok UINTEGER NOT NULL,
    timeouts UINTEGER NOT NULL,
    sum_us UBIGINT,
    min_us UINTEGER,
    max_us UINTEGER,
    p50_us UINTEGER,
    p95_us UINTEGER,
    p99_us UINTEGER,
    above UTINYINT NOT NULL,
    last_at TIMESTAMP_MS NOT NULL,
    last_outcome outcome NOT NULL,
    last_status USMALLINT,
    dns_n UINTEGER NOT NULL,
    dns_us UBIGINT,
    connect_us UBIGINT,
    tls_us UBIGINT,
    first_byte_us UBIGINT,
    histogram BLOB NOT NULL
);

CREATE TABLE attempt_cell_outcome (
    width_s INTEGER NOT NULL,
    ts TIMESTAMP_MS NOT NULL,
    series_id INTEGER NOT NULL,
    outcome outcome NOT NULL,
    attempts UINTEGER NOT NULL
);

CREATE TABLE sample_cell_1h (
    ts TIMESTAMP_MS NOT NULL,
    series_id INTEGER NOT NULL,
    n UINTEGER NOT NULL,
    failures UINTEGER NOT NULL,
    sum DOUBLE,
    min DOUBLE,
    max DOUBLE
);

CREATE TABLE sample_cell_1d (
    ts TIMESTAMP_MS NOT NULL,
    series_id INTEGER NOT NULL,
    n UINTEGER NOT NULL,
    failures UINTEGER NOT NULL,
    sum DOUBLE,
    min DOUBLE,
    max DOUBLE
);
