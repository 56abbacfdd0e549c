CREATE TABLE run_tier (
    run_no INTEGER NOT NULL,
    began_at TIMESTAMP_MS NOT NULL,
    ended_at TIMESTAMP_MS,
    requests BIGINT NOT NULL,
    is_stale BOOLEAN NOT NULL
);

CREATE TABLE run_cell (
    run_no INTEGER NOT NULL,
    second INTEGER NOT NULL,
    endpoint USMALLINT NOT NULL,
    part UTINYINT NOT NULL,
    plateau USMALLINT NOT NULL,
    is_late BOOLEAN NOT NULL,
    requests UINTEGER NOT NULL,
    n_ok UINTEGER NOT NULL,
    timeouts UINTEGER NOT NULL,
    bytes UBIGINT NOT NULL,
    sum_us UBIGINT,
    min_us UBIGINT,
    max_us UBIGINT,
    service_sum_us UBIGINT,
    service_min_us UINTEGER,
    service_max_us UINTEGER,
    waited_max_us UBIGINT,
    corrected BLOB NOT NULL,
    service BLOB
);

CREATE TABLE run_cell_outcome (
    run_no INTEGER NOT NULL,
    second INTEGER NOT NULL,
    endpoint USMALLINT NOT NULL,
    part UTINYINT NOT NULL,
    outcome outcome NOT NULL,
    requests UINTEGER NOT NULL
);
