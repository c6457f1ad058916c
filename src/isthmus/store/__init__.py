"""SQL: the tables of Isthmus and the statements on them."""
