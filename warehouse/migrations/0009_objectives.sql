CREATE TABLE objective (
    target VARCHAR NOT NULL,
    endpoint VARCHAR NOT NULL,
    limit_us UINTEGER NOT NULL
);

CREATE TABLE attempt_cell_above (
    width_s INTEGER NOT NULL,
    ts TIMESTAMP_MS NOT NULL,
    series_id INTEGER NOT NULL,
    limit_us UINTEGER NOT NULL,
    n_within UINTEGER NOT NULL,
    n_above UINTEGER NOT NULL,
    n_unknown UINTEGER NOT NULL
);
