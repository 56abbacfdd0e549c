CREATE TYPE outcome AS ENUM (
    'ok', 'timeout', 'refused', 'dns', 'tls', 'reset', 'unreachable', 'protocol',
    'too_large', 'bad_status', 'assertion', 'error', 'not_measurable'
);

CREATE TYPE gap_reason AS ENUM ('missed', 'overlap', 'clock_step', 'spool_full', 'refused', 'down');

CREATE TYPE job_state AS ENUM ('ok', 'failing');

CREATE SEQUENCE series_number;

CREATE TABLE series (
    series_id INTEGER PRIMARY KEY DEFAULT nextval('series_number'),
    kind VARCHAR NOT NULL,
    target VARCHAR NOT NULL,
    object VARCHAR NOT NULL,
    metric VARCHAR NOT NULL,
    unit VARCHAR NOT NULL,
    direction VARCHAR,
    source VARCHAR NOT NULL,
    first_seen_at TIMESTAMP_MS NOT NULL,
    UNIQUE (kind, target, object, metric)
);

CREATE TABLE attempt (
    ts TIMESTAMP_MS NOT NULL,
    series_id INTEGER NOT NULL,
    outcome outcome NOT NULL,
    status USMALLINT,
    dns_us UINTEGER,
    connect_us UINTEGER,
    tls_us UINTEGER,
    first_byte_us UINTEGER,
    total_us UINTEGER,
    bytes BIGINT,
    loop_lag_us UINTEGER,
    deadline_us UINTEGER NOT NULL
);

CREATE TABLE sample (
    ts TIMESTAMP_MS NOT NULL,
    series_id INTEGER NOT NULL,
    value DOUBLE,
    outcome outcome NOT NULL
);

CREATE TABLE gap (
    ts TIMESTAMP_MS NOT NULL,
    until_ts TIMESTAMP_MS NOT NULL,
    source VARCHAR NOT NULL,
    job VARCHAR NOT NULL,
    reason gap_reason NOT NULL,
    missed INTEGER NOT NULL
);

CREATE TABLE event (
    ts TIMESTAMP_MS NOT NULL,
    source VARCHAR NOT NULL,
    job VARCHAR NOT NULL,
    state job_state NOT NULL,
    text VARCHAR NOT NULL
);

CREATE TABLE batch (
    batch_id VARCHAR PRIMARY KEY,
    source VARCHAR NOT NULL,
    received_at TIMESTAMP_MS NOT NULL,
    attempts INTEGER NOT NULL,
    samples INTEGER NOT NULL,
    gaps INTEGER NOT NULL,
    events INTEGER NOT NULL
);
