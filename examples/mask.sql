-- Runs before anything reaches the previews' database server: no real person is in a preview.
UPDATE customers SET name = 'Customer ' || id, email = 'customer-' || id || '@example.com';
