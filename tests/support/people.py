"""Who is who in 20_rows.sql, and what they have done there."""

ANN = "a0000000-0000-4000-8000-000000000003"  # a student of the platform
BEN = "a0000000-0000-4000-8000-000000000004"  # a school's own
PAT = "a0000000-0000-4000-8000-000000000006"  # a parent
DANA = "a0000000-0000-4000-8000-000000000007"  # a dependent, without an address
EVE = "a0000000-0000-4000-8000-000000000008"  # of two Spark ids
FINN = "a0000000-0000-4000-8000-000000000009"
ANNS_TASK = "f0000000-0000-4000-8000-000000000001"  # completed in the main app, with a document
ANNS_NEW_ESSAY = "f0000000-0000-4000-8000-000000000002"  # of her active enrolment
ANNS_DOCUMENT = "f2000000-0000-4000-8000-000000000001"
BENS_RAIN = "f0000000-0000-4000-8000-000000000004"  # of two copies the one with a place
EVES_TASK = "f0000000-0000-4000-8000-000000000006"  # completed through the predecessor
