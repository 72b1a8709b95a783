-- The insurer's table: who was insured how, in which year of the experiment.
CREATE TABLE insurer (
    person_id       INT RANGE (100000, 699999),
    year            INT RANGE (1, 5),
    plan            INT RANGE (1, 24) NOT NULL,
    coinsurance     INT RANGE (0, 100) NOT NULL,
    deductible_plan INT RANGE (0, 1) NOT NULL,
    site            INT RANGE (1, 6) NOT NULL,
    PRIMARY KEY (person_id, year)
);
GRANT SELECT ON insurer TO analyst;
