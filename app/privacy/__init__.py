"""A family's rights over what is kept of a child, and how long anything is kept."""
