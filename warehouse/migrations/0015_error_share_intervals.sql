ALTER TABLE change_point ADD COLUMN low_difference DOUBLE;
ALTER TABLE change_point ADD COLUMN high_difference DOUBLE;
