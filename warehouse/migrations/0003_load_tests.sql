CREATE SEQUENCE run_number;

CREATE TABLE run (
    run_id VARCHAR PRIMARY KEY,
    run_no INTEGER NOT NULL DEFAULT nextval('run_number'),
    request_id VARCHAR NOT NULL,
    target VARCHAR NOT NULL,
    url VARCHAR NOT NULL,
    environment VARCHAR NOT NULL,
    preset VARCHAR NOT NULL,
    scenario VARCHAR NOT NULL,
    scenario_hash VARCHAR NOT NULL,
    plan VARCHAR NOT NULL,
    state VARCHAR NOT NULL,
    verdict VARCHAR NOT NULL DEFAULT '',
    reason VARCHAR NOT NULL DEFAULT '',
    requested_at TIMESTAMP_MS NOT NULL,
    requested_by VARCHAR NOT NULL,
    via VARCHAR NOT NULL,
    waits BOOLEAN NOT NULL,
    note VARCHAR NOT NULL,
    agent VARCHAR NOT NULL DEFAULT '',
    claimed_at TIMESTAMP_MS,
    master_host VARCHAR,
    master_port INTEGER,
    started_at TIMESTAMP_MS,
    load_at TIMESTAMP_MS,
    ended_at TIMESTAMP_MS,
    heartbeat_at TIMESTAMP_MS,
    complete_at TIMESTAMP_MS,
    judged_at TIMESTAMP_MS,
    cancel_at TIMESTAMP_MS,
    cancel_by VARCHAR,
    is_partial BOOLEAN NOT NULL DEFAULT FALSE,
    is_generator_bound BOOLEAN,
    is_baseline BOOLEAN NOT NULL DEFAULT FALSE,
    target_version VARCHAR,
    versions VARCHAR,
    summary VARCHAR,
    criteria VARCHAR,
    raw_deleted_at TIMESTAMP_MS
);

CREATE TABLE run_endpoint (
    run_no INTEGER NOT NULL,
    endpoint USMALLINT NOT NULL,
    method VARCHAR NOT NULL,
    label VARCHAR NOT NULL,
    part VARCHAR NOT NULL
);

CREATE TABLE run_plateau (
    run_no INTEGER NOT NULL,
    from_s DOUBLE NOT NULL,
    to_s DOUBLE NOT NULL,
    users INTEGER NOT NULL
);

CREATE TABLE run_seat (
    run_no INTEGER NOT NULL,
    agent VARCHAR NOT NULL,
    first_worker USMALLINT NOT NULL
);

CREATE TABLE load_request (
    run_no INTEGER NOT NULL,
    worker USMALLINT NOT NULL,
    ts TIMESTAMP NOT NULL,
    wait_us UINTEGER NOT NULL,
    service_us UINTEGER NOT NULL,
    bytes UINTEGER NOT NULL,
    user_no UINTEGER NOT NULL,
    status USMALLINT NOT NULL,
    endpoint USMALLINT NOT NULL,
    error USMALLINT NOT NULL,
    outcome outcome NOT NULL,
    part UTINYINT NOT NULL
);

CREATE TABLE load_beat (
    run_no INTEGER NOT NULL,
    worker USMALLINT NOT NULL,
    ts TIMESTAMP_MS NOT NULL,
    users INTEGER NOT NULL,
    cpu_ratio DOUBLE,
    dropped BIGINT NOT NULL,
    backlog BIGINT NOT NULL,
    memory_bytes BIGINT
);

CREATE TABLE load_error (
    run_no INTEGER NOT NULL,
    worker USMALLINT NOT NULL,
    error USMALLINT NOT NULL,
    endpoint USMALLINT NOT NULL,
    text VARCHAR NOT NULL
);

CREATE TABLE load_agent (
    name VARCHAR PRIMARY KEY,
    seen_at TIMESTAMP_MS NOT NULL,
    version VARCHAR NOT NULL,
    advertise VARCHAR NOT NULL
);

CREATE TABLE audit (
    ts TIMESTAMP_MS NOT NULL,
    who VARCHAR NOT NULL,
    via VARCHAR NOT NULL,
    action VARCHAR NOT NULL,
    subject VARCHAR NOT NULL,
    outcome VARCHAR NOT NULL,
    text VARCHAR NOT NULL
);

ALTER TABLE batch ADD COLUMN load_rows INTEGER DEFAULT 0;
