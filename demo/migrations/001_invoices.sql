-- Suppliers, their invoices with lines, and what became of uploaded files.
CREATE TABLE suppliers (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL UNIQUE,
    country    char(2) NOT NULL DEFAULT 'DE',
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE invoices (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    supplier_id  bigint REFERENCES suppliers,
    number       text,
    status       text NOT NULL CHECK (status IN
                     ('received', 'approved', 'paid', 'overdue', 'rejected', 'processing', 'failed')),
    amount_cents bigint,
    currency     char(3) NOT NULL DEFAULT 'EUR',
    issued_on    date,
    due_on       date,
    created_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX invoices_by_status ON invoices (status, id);
CREATE INDEX invoices_by_supplier ON invoices (supplier_id, id);

CREATE TABLE invoice_lines (
    invoice_id       bigint NOT NULL REFERENCES invoices ON DELETE CASCADE,
    position         integer NOT NULL,
    description      text NOT NULL,
    quantity         integer NOT NULL,
    unit_price_cents bigint NOT NULL,
    PRIMARY KEY (invoice_id, position)
);

CREATE TABLE processings (
    invoice_id  bigint PRIMARY KEY REFERENCES invoices ON DELETE CASCADE,
    state       text NOT NULL CHECK (state IN ('queued', 'processing', 'processed', 'failed')),
    file_name   text NOT NULL,
    file_bytes  bigint NOT NULL,
    queued_at   timestamptz NOT NULL DEFAULT now(),
    started_at  timestamptz,
    finished_at timestamptz,
    error       text
);
CREATE INDEX processings_unfinished ON processings (state) WHERE state IN ('queued', 'processing');
