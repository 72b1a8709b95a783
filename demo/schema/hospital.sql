-- The hospital's table: person-years with an admission.
CREATE TABLE hospital (
    person_id  INT RANGE (100000, 699999),
    year       INT RANGE (1, 5),
    admissions INT RANGE (1, 100) NOT NULL,
    cost       DECIMAL(8, 2) RANGE (0, 999999.99) NOT NULL,
    PRIMARY KEY (person_id, year)
);
GRANT SELECT ON hospital TO analyst;
