-- Clinic A: visits of a person in a year.
CREATE TABLE clinic_a (
    person_id INT RANGE (100000, 699999),
    year      INT RANGE (1, 5),
    visits    INT RANGE (0, 1000) NOT NULL,
    cost      DECIMAL(8, 2) RANGE (0, 99999.99) NOT NULL,
    chronic   DECIMAL(5, 2) RANGE (0, 100) NOT NULL,
    health    INT RANGE (1, 4) NOT NULL,
    PRIMARY KEY (person_id, year)
);
GRANT SELECT ON clinic_a TO analyst;
