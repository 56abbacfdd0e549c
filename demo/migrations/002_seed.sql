-- 200 suppliers and 20,000 invoices of one to five lines each: the same every time but for the dates.
INSERT INTO suppliers (name, country)
SELECT format('%s %s %s',
           (ARRAY['Alder', 'Birch', 'Cedar', 'Dogwood', 'Elm', 'Fir', 'Ginkgo', 'Hazel', 'Ivy', 'Juniper'])[1 + n % 10],
           (ARRAY['Paper', 'Freight', 'Hosting', 'Catering', 'Tools', 'Print', 'Energy', 'Legal', 'Travel', 'Parts'])[1 + n / 10 % 10],
           (ARRAY['Ltd', 'GmbH'])[1 + n / 100 % 2]),
       (ARRAY['DE', 'FR', 'NL', 'GB', 'US'])[1 + n % 5]
FROM generate_series(0, 199) AS n
ORDER BY n;

CREATE TEMPORARY TABLE seed_lines ON COMMIT DROP AS
SELECT n, position,
       (ARRAY['Consulting hours', 'Copy paper A4', 'Pallet transport', 'Server rent', 'Lunch boxes',
              'Drill bits', 'Flyers'])[1 + (n + position) % 7] AS description,
       1 + (n * 7 + position * 3) % 12 AS quantity,
       500 + (n * 7919 + position * 104729) % 45000 AS unit_price_cents
FROM generate_series(1, 20000) AS n, generate_series(1, 5) AS position
WHERE position <= 1 + n % 5;

INSERT INTO invoices (supplier_id, number, status, amount_cents, currency, issued_on, due_on, created_at)
SELECT 1 + (n * 7919) % 200,
       format('INV-%s', lpad(n::text, 6, '0')),
       CASE WHEN n % 20 = 0 THEN 'rejected' WHEN n % 10 = 3 THEN 'overdue'
            WHEN n > 19000 THEN 'received' WHEN n > 18000 THEN 'approved' ELSE 'paid' END,
       sum(quantity * unit_price_cents),
       (ARRAY['EUR', 'EUR', 'EUR', 'GBP', 'USD'])[1 + n % 5],
       (now() - (20001 - n) * interval '30 minutes')::date,
       (now() - (20001 - n) * interval '30 minutes' + interval '30 days')::date,
       now() - (20001 - n) * interval '30 minutes'
FROM seed_lines
GROUP BY n
ORDER BY n;

INSERT INTO invoice_lines (invoice_id, position, description, quantity, unit_price_cents)
SELECT n, position, description, quantity, unit_price_cents
FROM seed_lines
ORDER BY n, position;
