CREATE TABLE regression (
    regression_id VARCHAR NOT NULL,
    verdict VARCHAR NOT NULL,
    state VARCHAR NOT NULL,
    changed_at TIMESTAMP_MS NOT NULL,
    found_at TIMESTAMP_MS NOT NULL,
    state_at TIMESTAMP_MS NOT NULL,
    state_by VARCHAR NOT NULL,
    note VARCHAR NOT NULL
);

CREATE TABLE change_point (
    regression_id VARCHAR NOT NULL,
    role VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    target VARCHAR NOT NULL,
    object VARCHAR NOT NULL,
    metric VARCHAR NOT NULL,
    unit VARCHAR NOT NULL,
    direction VARCHAR NOT NULL,
    ts TIMESTAMP_MS NOT NULL,
    found_at TIMESTAMP_MS NOT NULL,
    before DOUBLE NOT NULL,
    after DOUBLE NOT NULL,
    size_ratio DOUBLE,
    low_ratio DOUBLE,
    high_ratio DOUBLE,
    confidence DOUBLE NOT NULL,
    point_s INTEGER,
    points_after INTEGER NOT NULL,
    looked_back BOOLEAN NOT NULL
);

CREATE TABLE regression_event (
    regression_id VARCHAR NOT NULL,
    ts TIMESTAMP_MS NOT NULL,
    action VARCHAR NOT NULL,
    who VARCHAR NOT NULL,
    text VARCHAR NOT NULL
);

CREATE TABLE judged (
    kind VARCHAR NOT NULL,
    target VARCHAR NOT NULL,
    until_ts TIMESTAMP_MS NOT NULL,
    series INTEGER NOT NULL,
    ready INTEGER NOT NULL,
    points INTEGER NOT NULL,
    wanted INTEGER NOT NULL,
    point_s INTEGER
);

CREATE TABLE co_movement (
    regression_id VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    target VARCHAR NOT NULL,
    object VARCHAR NOT NULL,
    metric VARCHAR NOT NULL,
    unit VARCHAR NOT NULL,
    before DOUBLE NOT NULL,
    after DOUBLE NOT NULL,
    score DOUBLE NOT NULL,
    share DOUBLE,
    of_ms DOUBLE,
    points_before INTEGER NOT NULL,
    points_after INTEGER NOT NULL
);
