-- The employer's table: one row a person.
CREATE TABLE employer (
    person_id    INT RANGE (100000, 699999) PRIMARY KEY,
    income       DECIMAL(10, 2) RANGE (0, 99999.99) NOT NULL,
    female       INT RANGE (0, 1) NOT NULL,
    school_years INT RANGE (0, 30),
    age          INT RANGE (0, 120) NOT NULL
);
GRANT SELECT ON employer TO analyst;
