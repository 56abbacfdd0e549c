DROP TABLE sample_cell_1h;

DROP TABLE sample_cell_1d;

CREATE TABLE sample_cell_1h (
    ts TIMESTAMP_MS NOT NULL,
    series_id INTEGER NOT NULL,
    n UINTEGER NOT NULL,
    failures UINTEGER NOT NULL,
    sum DOUBLE,
    min DOUBLE,
    max DOUBLE,
    last_at TIMESTAMP_MS NOT NULL,
    last_value DOUBLE,
    last_outcome outcome NOT NULL
);

CREATE TABLE sample_cell_1d (
    ts TIMESTAMP_MS NOT NULL,
    series_id INTEGER NOT NULL,
    n UINTEGER NOT NULL,
    failures UINTEGER NOT NULL,
    sum DOUBLE,
    min DOUBLE,
    max DOUBLE,
    last_at TIMESTAMP_MS NOT NULL,
    last_value DOUBLE,
    last_outcome outcome NOT NULL
);
